"""Rows that are refused, and tables that cannot be read: what a run leaves out, or stops at."""

from collections.abc import Callable, Iterator

from longtail.checks.check import check
from longtail.checks.inspection import TABLE_OF, Inspection, quoted
from longtail.features.feast.admission import COLUMN, DUPLICATE, REASON, ROW, TIMESTAMP, Admitted
from longtail.features.feast.table_validation import (
    duplicate_findings,
    future_findings,
    json_value,
    null_findings,
    over_limit_findings,
    weight_findings,
)
from longtail.features.finding import MAX_EXAMPLES, Finding


@check("error")
def configuration(inspection: Inspection) -> Iterator[Finding]:
    """Keys of the configuration that do not exist or have a wrong value."""
    return inspection.notes("configuration")


@check("error")
def feature_definitions(inspection: Inspection) -> Iterator[Finding]:
    """A Feast repository that cannot be loaded, or whose features the model cannot take."""
    return inspection.notes("feature_definitions")


@check("error", "items", "queries", "interactions")
def table_schema(inspection: Inspection) -> Iterator[Finding]:
    """Missing files and columns, types that are not those declared, files of one table that
    disagree in type, timestamps without a zone."""
    return inspection.notes("table_schema")


@check("error", "items", "queries", "interactions")
def empty_tables(inspection: Inspection) -> Iterator[Finding]:
    """A table without a row, or without one that is known by the day."""
    return inspection.notes("empty_tables")


@check("warning", "items", "queries", "interactions")
def null_keys(inspection: Inspection) -> Iterator[Finding]:
    """Rows without an id or a timestamp; they are refused."""
    return _refused(inspection, null_findings)


@check("warning", "items", "queries")
def duplicate_rows(inspection: Inspection) -> Iterator[Finding]:
    """Rows that say again what held of one key from one moment on; all but the first are refused.

    A repeated interaction is none: each pair counts once, at its earliest.
    """
    return _refused(inspection, duplicate_findings)


@check("error", "items", "queries")
def contradicting_rows(inspection: Inspection) -> Iterator[Finding]:
    """Repeated rows that say something else than the first of their key and timestamp.

    The catalogue has the first. Feast's point-in-time join reads the source itself, where nothing
    says which of the two holds: a training row may have either. So it is an error, however few
    they are.
    """
    for side in inspection.sides:
        table, key = TABLE_OF[side], quoted(inspection.key(side))
        admitted = inspection.admitted.get(table)
        if admitted is None or not admitted.refused_for(DUPLICATE).num_rows:
            continue
        columns = [name for name in admitted.rows.column_names if name != TIMESTAMP]
        differs = " OR ".join(f"r.{quoted(c)} IS DISTINCT FROM a.{quoted(c)}" for c in columns)
        pairs = (
            f"FROM refused_{table} r JOIN admitted_{table} a ON r.{key} = a.{key} AND "
            f"r.{TIMESTAMP} = a.{TIMESTAMP} WHERE r.{REASON} = '{DUPLICATE}' AND ({differs})"
        )
        num_rows = inspection.row(f"SELECT count(*) AS num {pairs}")["num"]
        if num_rows:
            rows = inspection.rows(
                f"SELECT r.* EXCLUDE ({REASON}, {COLUMN}, {ROW}) {pairs} "
                f"ORDER BY r.{ROW} LIMIT {MAX_EXAMPLES}"
            )
            examples = [{name: json_value(v) for name, v in row.items()} for row in rows]
            yield Finding(
                f"{num_rows} repeated rows of {admitted.source} contradict the first one of their "
                f"key and timestamp, such as that of {examples[0][inspection.key(side)]!r}",
                "keep the one that is true: training may see either",
                *(admitted.source, table, inspection.key(side), num_rows, tuple(examples)),
            )


@check("warning", "items", "queries", "interactions")
def future_timestamps(inspection: Inspection) -> Iterator[Finding]:
    """Rows stamped later than now; they are refused."""
    return _refused(inspection, future_findings)


@check("warning", "interactions")
def bad_weights(inspection: Inspection) -> Iterator[Finding]:
    """Weights that are negative or not finite; their rows are refused."""
    return _refused(inspection, weight_findings)


@check("error", "items", "queries", "interactions")
def refused_share(inspection: Inspection) -> Iterator[Finding]:
    """More refused rows in a table than `checks.max_refused_share`: the run stops."""
    for admitted in inspection.admitted.values():
        yield from over_limit_findings(admitted, inspection.config.checks.max_refused_share)


def _refused(
    inspection: Inspection, find: Callable[[Admitted], Iterator[Finding]]
) -> Iterator[Finding]:
    for admitted in inspection.admitted.values():
        yield from find(admitted)
