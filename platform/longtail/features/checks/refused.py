"""Rows that are refused, and tables that cannot be read: what a run leaves out, or stops at."""

from collections.abc import Callable, Iterator

from longtail.features.admission import Admitted
from longtail.features.checks.check import check
from longtail.features.checks.finding import Finding
from longtail.features.checks.inspection import Inspection
from longtail.features.validation import (
    duplicate_findings,
    future_findings,
    null_findings,
    over_limit_findings,
    weight_findings,
)


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
