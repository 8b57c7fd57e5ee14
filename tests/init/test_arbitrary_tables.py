"""A property test: the project of any three tables can be used by the next stage as it is."""

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longtail.config import load_config
from longtail.features.feast.repository import FeatureRepository
from tests.init.raw import interactions, make
from tests.projects import default_day

NUM_ITEMS = 44  # the number that `interactions` names

TEXTS = st.one_of(st.sampled_from(["a", "b|c", "", "7", "2024-01-01", "a, b"]), st.text(max_size=8))
NUMBERS = st.floats(width=32)
VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), TEXTS),
    "large": (pa.large_string(), TEXTS),
    "small": (pa.int8(), st.integers(-128, 127)),
    "unsigned": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "flag": (pa.bool_(), st.booleans()),
    "number": (pa.float64(), NUMBERS),
    "whole": (pa.float64(), st.integers(-5, 5).map(float)),
    "texts": (pa.list_(pa.string()), st.lists(st.none() | TEXTS, max_size=3)),
    "integers": (pa.list_(pa.int32()), st.lists(st.integers(-9, 9), max_size=3)),
    "vector": (pa.list_(pa.float32(), 2), st.lists(NUMBERS, min_size=2, max_size=2)),
    "numbers": (pa.list_(pa.float64()), st.lists(NUMBERS, max_size=3)),
    "day": (pa.date32(), st.dates()),
    "pair": (pa.struct({"a": pa.int64()}), st.just({"a": 1})),
}
# Surrogates are not valid text, and a name must be. A column with values needs a name.
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)


@st.composite
def features(draw: st.DrawFn, num_rows: int) -> dict[str, pa.Array]:
    """Draw columns with any names and types; each has a few different values, some none."""
    columns = {}
    for name in draw(st.lists(NAMES, max_size=4, unique_by=str.casefold)):
        type_, values = VALUES[draw(st.sampled_from(sorted(VALUES)))]
        few = draw(st.lists(st.none() | values, min_size=1, max_size=5))
        columns[name] = pa.array([few[n % len(few)] for n in range(num_rows)], type_)
    keys = ("item_id", "query_id")
    return {name: column for name, column in columns.items() if name.casefold() not in keys}


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(features(NUM_ITEMS), st.none() | features(40))
def test_the_project_of_any_tables_is_read_by_the_next_stage(
    of_items: dict[str, pa.Array], of_queries: dict[str, pa.Array] | None
) -> None:
    item_rows = pa.table({"item_id": [f"i{n}" for n in range(NUM_ITEMS)], **of_items})
    query_rows = None
    if of_queries is not None:
        query_rows = pa.table({"query_id": [f"q{n}" for n in range(40)], **of_queries})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        document = make(
            folder, item_rows, query_rows, interactions(), item_key="item_id", query_key="query_id"
        )
        repository = FeatureRepository(load_config(folder / "project" / "longtail.yaml"))
        repository.apply()
        schema = repository.schema()
        as_of = default_day(repository)
        for side, view, num_rows in (("item", "items", NUM_ITEMS), ("query", "queries", 40)):
            told = document[view]["features"]
            taken = [f["name"] for f in told if not f["left_out"]] or ["present"]
            assert [feature.name for feature in schema.side(side)[1:]] == taken
            rows = repository.latest(side, as_of)
            assert rows.num_rows == num_rows
            found = {f["column"] for f in told} | {document[view]["timestamp"]["column"]}
            given_columns = set(of_items if side == "item" else of_queries or {})
            assert found - {None} >= given_columns - {"active", "Active"}
        assert repository.interactions(as_of).num_rows == 200
