"""Checks for rows that a run leaves out, and for tables and definitions that it cannot read."""

from collections.abc import Callable, Iterator

from longtail.checks.check import check
from longtail.checks.inspected_project import TABLE_OF, Inspection, quoted
from longtail.features.feast.refused_rows import COLUMN, DUPLICATE, REASON, ROW, TIMESTAMP, Admitted
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
    """Keys of the configuration that do not exist, or that have a wrong value."""
    return inspection.notes("configuration")


@check("error")
def feature_definitions(inspection: Inspection) -> Iterator[Finding]:
    """Feast definitions that cannot be loaded, and features that the model cannot take."""
    return inspection.notes("feature_definitions")


@check("error", "items", "queries", "interactions")
def table_schema(inspection: Inspection) -> Iterator[Finding]:
    """Missing files and columns, types other than the declared ones, files of one table that
    disagree in type, and timestamps without a zone."""
    return inspection.notes("table_schema")


@check("error", "items", "queries", "interactions")
def empty_tables(inspection: Inspection) -> Iterator[Finding]:
    """Tables without rows, or without a row that is known by the day."""
    return inspection.notes("empty_tables")


@check("warning", "items", "queries", "interactions")
def null_keys(inspection: Inspection) -> Iterator[Finding]:
    """Rows without an id or a timestamp. They are refused."""
    return _refused(inspection, null_findings)


@check("warning", "items", "queries")
def duplicate_rows(inspection: Inspection) -> Iterator[Finding]:
    """Repeated rows: items or queries with the key and the timestamp of another row. All but the
    first are refused.

    Repeated interactions are allowed: each pair counts once, at its earliest, and
    `features.repeated_weights` makes one weight of all of its rows.
    """
    return _refused(inspection, duplicate_findings)


@check("error", "items", "queries")
def contradicting_rows(inspection: Inspection) -> Iterator[Finding]:
    """Repeated rows that differ from the first row with their key and timestamp.

    The catalogue has the first. Feast's point-in-time join reads the source itself, which does not
    say which of the two is true, so a training row may have either. One such row is an error.
    """
    for side in inspection.sides:
        table, key = TABLE_OF[side], quoted(inspection.key(side))
        admitted = inspection.admitted.get(table)
        if admitted is None or not admitted.refused_for(DUPLICATE).num_rows:
            continue
        # The admitted rows hold the first of each key and timestamp.
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
                f"{num_rows} repeated rows of {admitted.source} contradict the first row with "
                f"their key and timestamp, such as one of {examples[0][inspection.key(side)]!r}",
                "keep the row that is true, because training may see either",
                *(admitted.source, table, inspection.key(side), num_rows, tuple(examples)),
            )


@check("warning", "items", "queries", "interactions")
def future_timestamps(inspection: Inspection) -> Iterator[Finding]:
    """Rows stamped later than now. They are refused."""
    return _refused(inspection, future_findings)


@check("warning", "interactions")
def bad_weights(inspection: Inspection) -> Iterator[Finding]:
    """Weights that are negative or not finite. Their rows are refused."""
    return _refused(inspection, weight_findings)


@check("error", "items", "queries", "interactions")
def refused_share(inspection: Inspection) -> Iterator[Finding]:
    """Tables with a larger share of refused rows than `checks.max_refused_share`."""
    for admitted in inspection.admitted.values():
        yield from over_limit_findings(admitted, inspection.config.checks.max_refused_share)


def _refused(
    inspection: Inspection, find: Callable[[Admitted], Iterator[Finding]]
) -> Iterator[Finding]:
    """Yield what `find` finds among the refused rows of each table."""
    for admitted in inspection.admitted.values():
        yield from find(admitted)
