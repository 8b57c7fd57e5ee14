"""Properties of all checks on arbitrary tables: clean ones give no error, and no check crashes."""

import json
from datetime import timedelta

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.checks.registry import run_checks
from longtail.checks.report import Problem
from longtail.features.feast.refused_rows import TIMESTAMP
from tests.checks.inspections import BORN, CHOSEN, UTC_US, inspect_tables

TEXT = st.text(max_size=6)
VALUES = {
    "single": (st.none() | TEXT, pa.string()),
    "number": (st.none() | st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "many": (st.none() | st.lists(TEXT, max_size=3), pa.list_(pa.string())),
    "numbers": (st.none() | st.lists(st.integers(0, 9), max_size=3), pa.list_(pa.int64())),
}


@st.composite
def sides(draw: st.DrawFn, key: str) -> pa.Table:
    """Draw rows with distinct keys, all known before the first interaction."""
    keys = draw(st.lists(TEXT, min_size=1, max_size=40, unique=True))
    columns = {key: pa.array(keys, pa.string())}
    for name, (values, of) in VALUES.items():
        drawn = draw(st.lists(values, min_size=len(keys), max_size=len(keys)))
        columns[name] = pa.array(drawn, of)
    columns[TIMESTAMP] = pa.array([BORN] * len(keys), UTC_US)
    return pa.table(columns)


@st.composite
def projects(draw: st.DrawFn) -> dict[str, pa.Table]:
    """Draw three tables that belong together."""
    items, queries = draw(sides("item_id")), draw(sides("query_id"))
    count = draw(st.integers(1, 60))

    def some(rows: pa.Table) -> pa.Array:
        keys = st.sampled_from(rows.column(0).to_pylist())
        return pa.array(draw(st.lists(keys, min_size=count, max_size=count)), pa.string())

    hours = draw(st.lists(st.integers(0, 96), min_size=count, max_size=count))
    interactions = {
        "query_id": some(queries),
        "item_id": some(items),
        TIMESTAMP: pa.array([CHOSEN + timedelta(hours=hour) for hour in hours], UTC_US),
    }
    return {"items": items, "queries": queries, "interactions": pa.table(interactions)}


@settings(deadline=None, max_examples=10)
@given(projects(), projects(), st.booleans())
def test_clean_tables_give_no_error_and_every_finding_is_whole(
    tables: dict[str, pa.Table], served: dict[str, pa.Table], shared_ids: bool
) -> None:
    inspection = inspect_tables(
        served={name: served[name] for name in ("items", "queries")},
        shared_ids=shared_ids,
        **tables,
    )
    for check, severity, finding in run_checks(inspection):
        assert severity == "warning", finding.message
        assert finding.table in check.tables
        assert finding.what
        assert finding.cure
        document = Problem(check.name, severity, finding).document()
        assert json.loads(json.dumps(document, allow_nan=False)) == document
