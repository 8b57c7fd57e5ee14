"""Training rows see only the past: decoded training sets, compared with independent joins."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longtail.config import Config
from longtail.dataset import feature_states as states_module
from longtail.errors import LongtailError
from longtail.features.feast import repository as store_module
from longtail.features.feast.repository import FeatureRepository
from tests.features.decoded import Example
from tests.features.feast.histories import (
    AS_OF,
    DAY,
    INSTANT,
    UTC_US,
    Row,
    built,
    cell,
    check_histories,
    feature_rows,
    interaction_rows,
    joined,
    known,
    new_project,
    values,
)
from tests.projects import write_tables

ITEMS: list[Row] = [
    ("i", DAY - timedelta(days=2), values("old", 1, "a", "b")),
    ("i", DAY, values("new", 2, "b", "c", "c")),
    ("i", DAY + INSTANT, values("newer", None)),
    ("i", DAY + timedelta(days=1) - INSTANT, values("last", 4, "d")),
    ("i", DAY + timedelta(days=1), values("tomorrow", 5, "e")),
    ("unborn", DAY + timedelta(hours=5), values("born", 6, "f")),
]
QUERIES: list[Row] = [
    (f"q{number}", moment, {**content, "colour": f"query {content['colour']}"})
    for number in range(7)
    for name, moment, content in ITEMS
    if name == "i"
]
MOMENTS = [
    DAY - timedelta(days=3),  # nothing was known
    DAY - INSTANT,
    DAY,  # valid from exactly then on
    DAY + INSTANT,
    DAY + 2 * INSTANT,
    DAY + timedelta(days=1) - INSTANT,  # the last instant of `as_of`
    DAY + timedelta(days=1),  # after it
]
BOUNDARIES = [
    *((f"q{number}", "i", moment) for number, moment in enumerate(MOMENTS)),
    ("q0", "unborn", DAY + timedelta(hours=5) - INSTANT),
    ("q1", "unborn", DAY + timedelta(hours=5)),
    ("q2", "i", DAY + timedelta(hours=1)),  # the pair's earlier time counts
    ("stranger", "i", DAY),
    ("q1", "no features", DAY),
]


def in_zone(zone: str, unit: str) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        column = table.column_names.index("event_timestamp")
        elsewhere = table["event_timestamp"].cast(pa.timestamp(unit, zone))
        return table.set_column(column, "event_timestamp", elsewhere)

    return change


@pytest.mark.parametrize(
    "spelled", [lambda table: table, in_zone("Asia/Tokyo", "ns"), in_zone("America/New_York", "us")]
)
def test_boundary_instants(tmp_path: Path, spelled: Callable[[pa.Table], pa.Table]) -> None:
    config = new_project(tmp_path)
    write_tables(
        tmp_path,
        items=spelled(feature_rows("item_id", ITEMS)),
        queries=feature_rows("query_id", QUERIES),
        interactions=spelled(interaction_rows(BOUNDARIES)),
    )
    found = built(config)
    assert found["q1", "i"].item["colour"] == ["old"]
    assert found["q2", "i"].item == {"colour": ["new"], "size": [2], "tags": ["b", "c", "c"]}
    assert found["q2", "i"].query["colour"] == ["query new"]
    assert found["q3", "i"].item == {"colour": ["newer"], "size": [], "tags": []}
    assert found["q5", "i"].item["colour"] == ["last"]
    assert ("q6", "i") not in found
    assert found["q0", "unborn"].item["colour"] == []
    assert found["q1", "unborn"].item["colour"] == ["born"]
    assert found == joined(QUERIES, ITEMS, BOUNDARIES, AS_OF)


def test_a_nanosecond_belongs_to_the_nearest_microsecond_on_both_sides(tmp_path: Path) -> None:
    config = new_project(tmp_path)
    nanoseconds = int(DAY.timestamp()) * 10**9 + np.array([0, 499, 500, 1499, 1500])
    moments = pa.array(nanoseconds, pa.timestamp("ns", "UTC"))
    items = feature_rows("item_id", [(f"i{n}", DAY, values(f"v{n}")) for n in range(5)])
    pairs = interaction_rows([("q", f"i{n}", DAY) for n in range(5)])
    write_tables(
        tmp_path,
        items=items.set_column(4, "event_timestamp", moments),
        interactions=pairs.set_column(2, "event_timestamp", moments),
    )
    found = built(config)
    # Features from the same nanosecond as the interaction are its features.
    assert {item: example.item["colour"] for (_, item), example in found.items()} == {
        f"i{n}": [f"v{n}"] for n in range(5)
    }
    after = [(example.moment - DAY) // INSTANT for _, example in sorted(found.items())]
    assert after == [0, 0, 1, 1, 2]


VALUES = st.fixed_dictionaries(
    {
        "colour": st.none() | st.sampled_from(["red", "green", "blue", ""]),
        "size": st.none() | st.integers(-2, 2),
        "tags": st.none() | st.lists(st.none() | st.sampled_from("abc"), max_size=3),
    }
)
# Few moments, so that changes and interactions often coincide; some are after `as_of`.
MOMENT = st.sampled_from(
    [DAY + n * INSTANT for n in range(-3, 4)]
    + [DAY + timedelta(days=1) + n * INSTANT for n in range(-2, 2)]
    + [DAY - timedelta(days=400), datetime(1969, 12, 31, 23, tzinfo=UTC)]
)


def histories(prefix: str) -> st.SearchStrategy[list[Row]]:
    keys = st.sampled_from([f"{prefix}{number}" for number in range(3)])
    rows = st.lists(
        st.tuples(keys, MOMENT, VALUES), max_size=25, unique_by=lambda row: (row[0], row[1])
    )
    # At least one known row, because a table without any is another error.
    return rows.map(lambda drawn: [*drawn, (f"{prefix}first", DAY, values("first"))])


PAIRS = st.lists(
    st.tuples(
        st.sampled_from(["q0", "q1", "q2", "qfirst", "q none"]),
        st.sampled_from(["i0", "i1", "i2", "ifirst", "i none"]),
        MOMENT,
    ),
    max_size=40,
).map(lambda drawn: [*drawn, ("q0", "i0", DAY)])


@pytest.fixture(scope="module")
def history_project(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return new_project(tmp_path_factory.mktemp("histories"))


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(queries=histories("q"), items=histories("i"), rows=PAIRS)
def test_any_history_equals_a_loop_over_its_rows(
    history_project: Config,
    queries: list[Row],
    items: list[Row],
    rows: list[tuple[str, str, datetime]],
) -> None:
    check_histories(history_project, queries, items, rows)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(queries=histories("q"), items=histories("i"), rows=PAIRS)
def test_many_histories_equal_a_loop_over_their_rows(
    history_project: Config,
    queries: list[Row],
    items: list[Row],
    rows: list[tuple[str, str, datetime]],
) -> None:
    check_histories(history_project, queries, items, rows)


def drawn_rows(generator: np.random.Generator, key: str, num_keys: int, size: int) -> pa.Table:
    """Draw `size` rows of `num_keys` keys at distinct random minutes of ten days."""
    minutes = 10 * 24 * 60
    places = generator.choice(num_keys * minutes, size, replace=False)
    colours = np.array(["red", "green", "blue", "grey"])[generator.integers(0, 4, size)]
    offsets = np.zeros(size + 1, np.int32)
    np.cumsum(generator.integers(0, 4, size), out=offsets[1:])
    tags = np.array(list("abcdefgh"))[generator.integers(0, 8, offsets[-1])]
    moments = int(DAY.timestamp() - 9 * 86_400) * 10**6 + places % minutes * 60_000_000
    return pa.table(
        {
            key: pa.array([f"{key[0]}{number}" for number in places // minutes]),
            "colour": pa.array(colours, mask=generator.random(size) < 0.1),
            "size": pa.array(generator.integers(-5, 5, size), mask=generator.random(size) < 0.1),
            "tags": pa.ListArray.from_arrays(pa.array(offsets), pa.array(tags)),
            "event_timestamp": pa.array(moments, UTC_US),
        }
    )


ASOF = """
SELECT query_id, item_id, p.event_timestamp AS moment,
       q.colour AS query_colour, q.size AS query_size, q.tags AS query_tags,
       i.colour AS item_colour, i.size AS item_size, i.tags AS item_tags
FROM (SELECT query_id, item_id, min(event_timestamp) AS event_timestamp
      FROM interactions GROUP BY query_id, item_id) AS p
ASOF LEFT JOIN queries AS q USING (query_id, event_timestamp)
ASOF LEFT JOIN items AS i USING (item_id, event_timestamp)
"""


def test_many_changes_equal_an_asof_join_and_feasts_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, generator = new_project(tmp_path), np.random.default_rng(0)
    items = drawn_rows(generator, "item_id", 60, 3_000)
    queries = drawn_rows(generator, "query_id", 200, 4_000)
    pairs = drawn_rows(generator, "query_id", 200, 6_000).select(["query_id", "event_timestamp"])
    asked = pa.array([f"i{number}" for number in generator.integers(0, 60, 6_000)])
    pairs = pairs.add_column(1, "item_id", asked)
    write_tables(tmp_path, items=items, queries=queries, interactions=pairs)
    monkeypatch.setattr(store_module, "POINT_IN_TIME_CHUNK", 1_700)
    monkeypatch.setattr(states_module, "BLOCK", 1_000)
    found = built(config)

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in (("items", items), ("queries", queries), ("interactions", pairs)):
            connection.register(name, table)
        expected = {
            (row[0], row[1]): Example(
                row[2].astimezone(UTC),
                {
                    name: cell(v)
                    for name, v in zip(("colour", "size", "tags"), row[3:6], strict=True)
                },
                {
                    name: cell(v)
                    for name, v in zip(("colour", "size", "tags"), row[6:9], strict=True)
                },
            )
            for row in connection.execute(ASOF).fetchall()
        }
    assert len(found) > 4_000
    assert found == expected

    # Feast gives the same answer for each interaction at its own time.
    some = sorted(found.items())[::4]
    keys = pa.table(
        {
            "item_id": [item for (_, item), _ in some],
            "event_timestamp": pa.array([example.moment for _, example in some], UTC_US),
        }
    )
    rows = FeatureRepository(config).point_in_time("item", keys).to_pylist()
    assert [{n: cell(row[n]) for n in ("colour", "size", "tags")} for row in rows] == [
        example.item for _, example in some
    ]


def test_a_row_that_has_outlived_its_time_is_not_seen(tmp_path: Path) -> None:
    config, life = new_project(tmp_path), timedelta(hours=2)
    definition = config.feature_repo / "items.py"
    text = definition.read_text(encoding="utf-8")
    definition.write_text(re.sub(r"timedelta\(0\)", "timedelta(hours=2)", text), encoding="utf-8")
    items: list[Row] = [
        ("i", DAY, values("first", 1, "a")),
        ("i", DAY + timedelta(hours=1), values("second", 2, "b")),
        ("i", DAY + timedelta(hours=9), values("third", 3, "c")),
    ]
    moments = [
        *(DAY + life + shift for shift in (-INSTANT, timedelta(0), INSTANT)),
        *(DAY + timedelta(hours=1) + life + shift for shift in (timedelta(0), INSTANT, 3 * life)),
        DAY + timedelta(hours=5),
    ]
    rows = [(f"q{number}", "i", moment) for number, moment in enumerate(moments)]
    write_tables(
        tmp_path, items=feature_rows("item_id", items), interactions=interaction_rows(rows)
    )
    found = built(config)
    seen = [found[query, item].item for query, item, _ in rows]
    assert [features["colour"] for features in seen[3:]] == [["second"], [], ["third"], []]
    assert seen == [known(items, "i", moment, life) for moment in moments]


def test_a_store_that_loses_rows_is_found_out(tmp_path: Path) -> None:
    config = new_project(tmp_path)
    settings_file = config.feature_repo / "feature_store.yaml"
    text = settings_file.read_text(encoding="utf-8").replace("type: duckdb", "type: dask")
    settings_file.write_text(text, encoding="utf-8")
    repository = FeatureRepository(config)
    repository.apply()
    keys = pa.table({"item_id": ["i"] * 5, "event_timestamp": pa.array([DAY] * 5, UTC_US)})
    with pytest.raises(LongtailError, match="returned 1 rows for 5 keys of `item_features`"):
        repository.point_in_time("item", keys)
