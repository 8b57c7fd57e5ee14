"""The check for query features that are not known yet when the query asks."""

from collections.abc import Iterator
from typing import Any

from longtail.checks.check import check
from longtail.checks.inspected_project import Inspection, quoted, values_of
from longtail.features.feast.refused_rows import TIMESTAMP
from longtail.features.feast.table_validation import json_value
from longtail.features.finding import MAX_EXAMPLES, Finding

MOST = 0.5
"""Share of the interactions that may happen before the first value is known."""
MIN_INTERACTIONS = 20
"""Fewest interactions from which a feature is judged."""


@check("warning", "queries")
def late_features(inspection: Inspection) -> Iterator[Finding]:
    """Query features that become known only after the query's interactions.

    An interaction counts if its query ever has a value; there must be 20 or more. For more than
    half of them, the query's first row with a value is stamped later than the interaction. Training
    would find the value missing, and at serving time it cannot be known yet. If the rows as a whole
    come that late, there is one finding, about their timestamps.
    """
    if "query" not in inspection.sides or "interactions" not in inspection.known:
        return
    key, source = inspection.key("query"), inspection.sources["queries"]
    rows = f"(SELECT {quoted(key)} AS key, event_timestamp AS moment FROM query_rows)"
    facts = _lateness(inspection, rows)
    # Late rows make every feature late, so the single finding is about the rows.
    if _is_late(facts):
        yield Finding(
            f"the first rows of {source} are stamped later than {facts['num_late']} of the "
            f"{facts['num']} interactions of their queries",
            "stamp each row with the moment from which its values hold; a value that is known only "
            "after the interaction cannot be a feature of the query",
            *(source, "queries", TIMESTAMP, facts["num_late"], _examples(inspection, rows)),
        )
        return
    for feature in inspection.features("query"):
        values = values_of(feature, "query_rows", key)
        facts = _lateness(inspection, values)
        if _is_late(facts):
            yield Finding(
                f"column `{feature.name}` of {source} becomes known too late: after "
                f"{facts['num_late']} of {facts['num']} interactions",
                "leave it out of the query's FeatureService, or stamp its rows with the moment "
                "from which its values hold",
                *(source, "queries", feature.name, facts["num_late"]),
                _examples(inspection, values),
            )


def _joined(values: str) -> str:
    """Return SQL for the interactions, each with the moment its query's first value is known."""
    first = f"(SELECT key, min(moment) AS known FROM {values} GROUP BY 1)"
    return f"interactions i JOIN {first} f ON i.query_id = f.key"


def _lateness(inspection: Inspection, values: str) -> dict[str, Any]:
    return inspection.row(
        "SELECT count(*) AS num, count(*) FILTER (known > event_timestamp) AS num_late "
        f"FROM {_joined(values)}"
    )


def _is_late(facts: dict[str, Any]) -> bool:
    return bool(facts["num"] >= MIN_INTERACTIONS and facts["num_late"] > MOST * facts["num"])


def _examples(inspection: Inspection, values: str) -> tuple[dict[str, Any], ...]:
    rows = inspection.rows(
        f"SELECT query_id, item_id, event_timestamp, known AS known_from FROM {_joined(values)} "
        f"WHERE known > event_timestamp ORDER BY query_id, event_timestamp LIMIT {MAX_EXAMPLES}"
    )
    return tuple({name: json_value(value) for name, value in row.items()} for row in rows)
