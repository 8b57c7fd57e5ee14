"""Each check of the data reports tables that are broken in exactly its way, and no others."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from longtail.checks.registry import run_checks
from longtail.features.feast.refused_rows import TIMESTAMP
from tests.checks.inspections import (
    BORN,
    CHOSEN,
    CLEAN,
    NUM_INTERACTIONS,
    NUM_ITEMS,
    NUM_QUERIES,
    UTC_US,
    clean_interactions,
    clean_items,
    clean_queries,
    inspect_tables,
    moments,
    replaced,
)

LATER = datetime(2024, 1, 7, tzinfo=UTC)


def with_values(rows: pa.Table, column: str, changes: dict[int, Any]) -> pa.Table:
    """Return the table with other values in some rows of a column."""
    values = rows[column].to_pylist()
    for row, value in changes.items():
        values[row] = value
    return replaced(rows, column, pa.array(values, rows.schema.field(column).type))


def with_feature(rows: pa.Table, name: str, values: Sequence[Any]) -> pa.Table:
    return rows.append_column(name, pa.array(values))


def later_rows(rows: pa.Table, column: str, value: Any) -> pa.Table:
    """Return the rows with nulls in a column, and the same rows again, later, with a value."""
    of = rows.schema.field(column).type
    nothing = replaced(rows, column, pa.nulls(rows.num_rows, of))
    something = replaced(rows, column, pa.array([value] * rows.num_rows, of))
    something = replaced(something, TIMESTAMP, moments(rows.num_rows, LATER))
    return pa.concat_tables([nothing, something])


@cache
def chosen_by() -> dict[str, list[str]]:
    """Return the items that each query chose, in the clean interactions."""
    found: dict[str, list[str]] = {}
    for row in clean_interactions().to_pylist():
        found.setdefault(row["query_id"], []).append(row["item_id"])
    return found


def last_query_of_items() -> list[str | None]:
    """Return the last query that chose each item, in the clean interactions."""
    last = {item: query for query, items in chosen_by().items() for item in items}
    return [last.get(f"item-{n:03}") for n in range(NUM_ITEMS)]


@dataclass(frozen=True)
class Case:
    """One way to break the tables, and the finding that must be made."""

    check: str
    table: str
    column: str | None
    num_rows: int
    examples: tuple[Any, ...]
    what: str
    cure: str
    changed: Callable[[], dict[str, pa.Table]]
    severity: str = "warning"
    served: dict[str, Callable[[], pa.Table]] | None = None
    also: set[str] = field(default_factory=set)


ITEM_17 = {"item_id": "item-017", "section": "section-1", "words": ["word-3", "word-6"]}

CASES = {
    "null key": Case(
        *("null_keys", "interactions", "query_id", 2),
        (
            {"row": 3, "query_id": None},
            {"row": 9, "query_id": None},
        ),
        r"`query_id` of interactions\.parquet is null in 2 of 2400 rows, first in row 3",
        "fill it in, or drop these rows",
        lambda: {"interactions": with_values(clean_interactions(), "query_id", {3: None, 9: None})},
    ),
    "null timestamp": Case(
        *("null_keys", "items", TIMESTAMP, 1),
        ({"row": 299, "item_id": "item-299"},),
        r"`event_timestamp` of items\.parquet is null in 1 of 300 rows, first in row 299",
        "fill it in",
        lambda: {"items": with_values(clean_items(), TIMESTAMP, {299: None})},
        also={"dangling_keys"},  # because the item has no row left
    ),
    "duplicate": Case(
        *("duplicate_rows", "items", "item_id", 1),
        ({"row": 300, **ITEM_17, "size": 17, TIMESTAMP: "2024-01-01T00:00:00+00:00"},),
        r"has 1 duplicated rows: `item_id` = 'item-017' occurs more than once",
        "keep one row per key and timestamp",
        lambda: {"items": pa.concat_tables([clean_items(), clean_items().slice(17, 1)])},
    ),
    "contradiction": Case(
        *("contradicting_rows", "items", "item_id", 1),
        ({"item_id": "item-017", "section": "elsewhere", "words": ["word-3", "word-6"]},),
        r"1 repeated rows of items\.parquet contradict the first .* such as one of 'item-017'",
        "keep the row that is true",
        lambda: {
            "items": pa.concat_tables(
                [
                    clean_items(),
                    with_values(clean_items().slice(17, 1), "section", {0: "elsewhere"}),
                    clean_items().slice(18, 1),
                ]
            )
        },
        severity="error",
        also={"duplicate_rows"},
    ),
    "future": Case(
        *("future_timestamps", "interactions", TIMESTAMP, 1),
        ({"row": 5, TIMESTAMP: "2999-01-01T00:00:00+00:00"},),
        r"is later than now in 1 of 2400 rows, such as 2999-01-01",
        "write moments that have passed, in UTC",
        lambda: {
            "interactions": with_values(
                clean_interactions(), TIMESTAMP, {5: datetime(2999, 1, 1, tzinfo=UTC)}
            )
        },
    ),
    "weight": Case(
        *("bad_weights", "interactions", "weight", 2),
        ({"row": 1, "weight": -0.5}, {"row": 2, "weight": "nan"}),
        r"is negative or not finite in 2 of 2400 rows, such as -0\.5 in row 1",
        "weights must be finite and not negative",
        lambda: {"interactions": with_values(clean_interactions(), "weight", {1: -0.5, 2: np.nan})},
    ),
    "weights of zero": Case(
        *("zero_weights", "interactions", "weight", NUM_INTERACTIONS),
        ({"weight": 0.0, TIMESTAMP: "2024-01-05T00:00:00+00:00"},),
        r"column `weight` of interactions\.parquet is 0 for all 2400 pairs, so the loss of the tra",
        "look for a join that lost the weights, or drop the column: then every interaction counts",
        lambda: {
            "interactions": replaced(
                clean_interactions(), "weight", pa.array([0.0] * NUM_INTERACTIONS, pa.float32())
            )
        },
        severity="error",
    ),
    "too many refused": Case(
        *("refused_share", "interactions", None, 48),
        ({"row": 0, "query_id": None},),
        r"48 of 2400 rows of interactions\.parquet are refused \(2\.00%, more than 1\.00%\): "
        "column `query_id`",
        r"correct them, or raise `checks\.max_refused_share`",
        lambda: {
            "interactions": with_values(clean_interactions(), "query_id", dict.fromkeys(range(48)))
        },
        severity="error",
        also={"null_keys"},
    ),
    "item without a row": Case(
        *("dangling_keys", "interactions", "item_id", 3),
        ({"item_id": "ghost", TIMESTAMP: "2024-01-05T00:00:00+00:00"},),
        r"3 of 2400 interactions in interactions\.parquet have a `item_id` that has no row in "
        r"items\.parquet, such as ghost",
        r"add the missing rows to items\.parquet",
        lambda: {
            "interactions": with_values(
                clean_interactions(), "item_id", dict.fromkeys((0, 700, 1500), "ghost")
            )
        },
    ),
    "query born after its interactions": Case(
        *("dangling_keys", "interactions", "query_id", len(chosen_by()["query-000"])),
        ({"query_id": "query-000", TIMESTAMP: "2024-01-05T00:00:00+00:00"},),
        r"that has its first row in queries\.parquet only after the interaction, such as query-000",
        r"stamp the rows of queries\.parquet with the moment",
        lambda: {"queries": with_values(clean_queries(), TIMESTAMP, {0: LATER})},
    ),
    "keys of another kind": Case(
        *("mismatched_keys", "interactions", "item_id", NUM_INTERACTIONS),
        ({"item_id": "sku:item-000"},),
        r"2400 of 2400 interactions .* have a `item_id` that has no row in items\.parquet",
        r"write the ids in the same way in both tables \(in items\.parquet they look like 'item-",
        lambda: {
            "interactions": replaced(
                clean_interactions(),
                "item_id",
                pa.array([f"sku:{item}" for item in clean_interactions()["item_id"].to_pylist()]),
            )
        },
        severity="error",
    ),
    "numbers and words": Case(
        *("mixed_types", "queries", "zip", 12),
        ("n/a",),
        r"`zip` of queries\.parquet mixes numbers and words: 228 of 240 values are numbers",
        "write unknown values as null",
        lambda: {
            "queries": with_feature(
                clean_queries(),
                "zip",
                ["n/a" if n % 20 == 0 else str(n % 30) for n in range(NUM_QUERIES)],
            )
        },
    ),
    "one number in two ways": Case(
        *("mixed_types", "items", "brand", NUM_ITEMS // 2),
        (["0", "0.0"], ["1", "1.0"], ["2", "2.0"]),
        r"`brand` of items\.parquet writes one number in several ways, such as '0' and '0\.0'",
        "write each number in one way",
        lambda: {
            "items": with_feature(
                clean_items(),
                "brand",
                # The first half of the brands is written both ways.
                [
                    f"{n % 10}.0" if n % 10 < 5 and n % 20 < 10 else f"{n % 10}"
                    for n in range(NUM_ITEMS)
                ],
            )
        },
    ),
    "null inside a list": Case(
        *("mixed_types", "items", "words", 2),
        ("item-004", "item-005"),
        r"`words` of items\.parquet has lists with missing values, such as the list of 'item-004'",
        "leave the missing values out",
        lambda: {
            "items": with_values(clean_items(), "words", {4: ["word-1", None], 5: [None, "word-2"]})
        },
    ),
    "near unique": Case(
        *("near_unique", "items", "serial", NUM_ITEMS),
        ("serial 0", "serial 1", "serial 10"),
        r"`serial` of items\.parquet has 290 different values among 300",
        "leave it out of the FeatureService",
        lambda: {
            "items": with_feature(
                clean_items(), "serial", [f"serial {n % 290}" for n in range(NUM_ITEMS)]
            )
        },
    ),
    "constant": Case(
        *("constant_columns", "queries", "site", NUM_QUERIES),
        ("main",),
        r"`site` of queries\.parquet is 'main' in every row",
        "leave it out of the FeatureService",
        lambda: {"queries": with_feature(clean_queries(), "site", ["main"] * NUM_QUERIES)},
    ),
    "nearly empty": Case(
        *("nearly_empty", "items", "badge", NUM_ITEMS - 2),
        ({"key": "item-000", "value": "gold"}, {"key": "item-001", "value": "silver"}),
        r"`badge` of items\.parquet has a value for only 2 of 300 items",
        "look for what emptied it",
        lambda: {
            "items": with_feature(
                clean_items(), "badge", ["gold", "silver", *[None] * (NUM_ITEMS - 2)]
            )
        },
    ),
    "a feature that is known afterwards": Case(
        *("late_features", "queries", "mood", NUM_INTERACTIONS),
        (
            {
                "query_id": "query-000",
                TIMESTAMP: "2024-01-05T00:00:00+00:00",
                "known_from": "2024-01-07T00:00:00+00:00",
            },
        ),
        r"`mood` of queries\.parquet becomes known too late: after 2400 of 2400 interactions",
        "leave it out of the query's FeatureService",
        lambda: {
            "queries": later_rows(
                with_feature(clean_queries(), "mood", ["good", "bad"] * (NUM_QUERIES // 2)),
                "mood",
                "good",
            )
        },
        also={"constant_columns"},
    ),
    "queries that are stamped afterwards": Case(
        *("late_features", "queries", TIMESTAMP, NUM_INTERACTIONS),
        ({"query_id": "query-000", "known_from": "2024-01-07T00:00:00+00:00"},),
        r"rows of queries\.parquet are stamped later than 2400 of the 2400 interactions",
        "stamp each row with the moment from which its values hold",
        lambda: {"queries": replaced(clean_queries(), TIMESTAMP, moments(NUM_QUERIES, LATER))},
        also={"dangling_keys"},
    ),
    "an item names its queries": Case(
        *("label_leakage", "items", "last_buyer", NUM_ITEMS),
        ({"query_id": "query-000"},),
        r"`last_buyer` of items\.parquet names queries, and tells which ones interact: 300 of the "
        "300 pairs",
        "leave it out of the FeatureService unless it is known before",
        lambda: {"items": with_feature(clean_items(), "last_buyer", last_query_of_items())},
    ),
    "a query names its items": Case(
        *("label_leakage", "queries", "basket", NUM_INTERACTIONS),
        ({"query_id": "query-000", "item_id": min(chosen_by()["query-000"])},),
        r"`basket` of queries\.parquet names items, .* 2400 of the 2400 pairs .*100% of all",
        r"or set `checks\.severity: \{label_leakage: ignore\}`",
        lambda: {
            "queries": with_feature(
                clean_queries(),
                "basket",
                [chosen_by()[query] for query in clean_queries()["query_id"].to_pylist()],
            )
        },
    ),
    "coverage": Case(
        *("coverage_drift", "items", "section", NUM_ITEMS),
        ({"coverage_then": 1.0, "coverage_now": 152 / 300},),
        r"`section` of items\.parquet has a value for 50\.7% of the items, against 100\.0% in "
        "the served version 20240101-abc",
        "look for what emptied or filled it",
        lambda: {
            "items": with_values(
                clean_items(), "section", {n: None for n in range(NUM_ITEMS) if n % 16 >= 8}
            )
        },
        served={},
    ),
    "coverage of vectors": Case(
        *("coverage_drift", "items", "picture", NUM_ITEMS),
        ({"coverage_then": 1.0, "coverage_now": 0.5},),
        r"`picture` of items\.parquet has a value for 50\.0% of the items, against 100\.0%",
        "look for what emptied or filled it",
        lambda: {
            # Null, empty and zero vectors all count as missing; zeros have no direction.
            "items": with_feature(
                clean_items(),
                "picture",
                pa.array(
                    [
                        ([0.5, -1.0], None, [-1.0, 0.0], ([], [0.0, 0.0])[n % 8 // 4])[n % 4]
                        for n in range(NUM_ITEMS)
                    ],
                    pa.list_(pa.float32()),
                ),
            )
        },
        served={
            "items": lambda: with_feature(
                clean_items(), "picture", pa.array([[1.0, 2.0]] * NUM_ITEMS, pa.list_(pa.float32()))
            )
        },
    ),
    "coverage of numbers": Case(
        *("coverage_drift", "items", "price", NUM_ITEMS),
        ({"coverage_then": 1.0, "coverage_now": 0.0},),
        r"`price` of items\.parquet has a value for 0\.0% of the items, against 100\.0%",
        "look for what emptied or filled it",
        lambda: {"items": with_feature(clean_items(), "price", pa.nulls(NUM_ITEMS, pa.float64()))},
        served={"items": lambda: with_feature(clean_items(), "price", pa.array([1.5] * NUM_ITEMS))},
    ),
    "cardinality": Case(
        *("cardinality_drift", "items", "place", NUM_ITEMS),
        ("place 0 at 0", "place 0 at 1", "place 0 at 10"),
        r"`place` of items\.parquet has 150 different values, against 10",
        "look for a change in how they are written",
        lambda: {
            "items": with_feature(
                clean_items(),
                "place",
                [f"place {n % 150 % 10} at {n % 150 // 10}" for n in range(NUM_ITEMS)],
            )
        },
        served={
            "items": lambda: with_feature(
                clean_items(), "place", [f"place {n % 10}" for n in range(NUM_ITEMS)]
            )
        },
        also={"distribution_drift"},
    ),
    "distribution": Case(
        *("distribution_drift", "items", "section", NUM_ITEMS),
        ({"value": "section-0", "share_then": 38 / 300, "share_now": 1 - 7 / 300},),
        r"`section` of items\.parquet has drifted by 0\.\d\d bits: 'section-0' has a share of "
        r"97\.7%, against 12\.7%",
        "look for a changed source",
        lambda: {
            "items": with_values(
                clean_items(), "section", dict.fromkeys(range(8, NUM_ITEMS), "section-0")
            )
        },
        served={},
    ),
}


def test_clean_tables_give_no_finding() -> None:
    assert run_checks(inspect_tables()) == []
    assert run_checks(inspect_tables(served={})) == []


@pytest.mark.parametrize("name", CASES)
def test_a_check_fires_on_what_is_broken_in_its_way(name: str) -> None:
    case = CASES[name]
    served = None if case.served is None else {k: make() for k, make in case.served.items()}
    found = run_checks(inspect_tables(served=served, **case.changed()))
    assert {check.name for check, _, _ in found} == {case.check, *case.also}
    ((severity, finding),) = [(s, f) for check, s, f in found if check.name == case.check]
    assert severity == case.severity
    assert (finding.table, finding.source) == (case.table, f"{case.table}.parquet")
    assert finding.column == case.column
    assert finding.num_rows == case.num_rows
    assert re.search(case.what, finding.what)
    assert re.search(case.cure, finding.cure)
    assert len(finding.examples) <= 3
    for example, expected in zip(finding.examples, case.examples, strict=False):
        if isinstance(expected, dict):
            for key, value in expected.items():
                assert example[key] == (pytest.approx(value) if type(value) is float else value)
        else:
            assert example == expected
    assert len(finding.examples) >= len(case.examples)


def test_every_check_of_data_has_a_case() -> None:
    from longtail.checks.registry import CHECKS

    read = {"table_schema", "empty_tables"}  # made while reading tables: tests/cli/test_check.py
    recorded = {"key_overlap", "time_range", "weight_range", "tombstone"}  # test_roles.py
    assert {case.check for case in CASES.values()} == {
        check.name for check in CHECKS if check.tables
    } - read - recorded


def test_a_leak_is_found_where_chance_is_high_too_and_naming_everything_is_none() -> None:
    """A third of all pairs of ten queries interact, so no pairs can be ten times as likely."""
    rng = np.random.default_rng(2)
    pairs = np.flatnonzero(rng.random(10 * NUM_ITEMS) < 1 / 3)
    queries, items = pairs // NUM_ITEMS, pairs % NUM_ITEMS
    interactions = pa.table(
        {
            "query_id": [f"query-{n:03}" for n in queries],
            "item_id": [f"item-{n:03}" for n in items],
            TIMESTAMP: moments(len(pairs), CHOSEN),
        }
    )
    chosen = [[f"item-{n:03}" for n in items[queries == query]] for query in range(10)]
    everything = [clean_items()["item_id"].to_pylist()] * 10
    asking = clean_queries().slice(0, 10)
    for named, expected in ((chosen, [("label_leakage", len(pairs))]), (everything, [])):
        found = run_checks(
            inspect_tables(queries=with_feature(asking, "basket", named), interactions=interactions)
        )
        assert [(check.name, finding.num_rows) for check, _, finding in found] == expected


def test_a_history_that_is_right_at_each_moment_is_no_leak() -> None:
    """The items that a query chose before are a fair feature: they name only pairs of the past."""
    histories = [chosen_by()[query] for query in clean_queries()["query_id"].to_pylist()]
    after = replaced(
        with_feature(clean_queries(), "history", histories), TIMESTAMP, moments(NUM_QUERIES, LATER)
    )
    empty = pa.array([[]] * NUM_QUERIES, pa.list_(pa.string()))
    before = clean_queries().append_column("history", empty)
    found = run_checks(inspect_tables(queries=pa.concat_tables([before, after])))
    assert [check.name for check, _, _ in found] == ["late_features"]


def test_where_ids_are_shared_only_what_foretells_is_a_leak() -> None:
    """A package's features may name packages, and even the package itself, as in the demo."""
    keys = [f"package-{n:03}" for n in range(NUM_ITEMS)]
    rng = np.random.default_rng(1)
    pairs = rng.permutation(NUM_ITEMS * NUM_ITEMS)[:NUM_INTERACTIONS]
    depends: dict[str, list[str]] = {key: [] for key in keys}
    for pair in pairs:
        depends[keys[pair // NUM_ITEMS]].append(keys[pair % NUM_ITEMS])
    # Three packages share a source, named after the first of them: ids that foretell nothing.
    source = [keys[n - n % 3] for n in range(NUM_ITEMS)]
    interactions = pa.table(
        {
            "query_id": [keys[n] for n in pairs // NUM_ITEMS],
            "item_id": [keys[n] for n in pairs % NUM_ITEMS],
            TIMESTAMP: moments(NUM_INTERACTIONS, CHOSEN),
        }
    )
    items = pa.table({"item_id": keys, "source": source, TIMESTAMP: moments(NUM_ITEMS, BORN)})
    queries = items.rename_columns(["query_id", "source", TIMESTAMP])
    shared = inspect_tables(
        shared_ids=True, items=items, queries=queries, interactions=interactions
    )
    assert run_checks(shared) == []
    leaking = with_feature(queries, "depends", [depends[key] for key in keys])
    found = run_checks(
        inspect_tables(shared_ids=True, items=items, queries=leaking, interactions=interactions)
    )
    assert [(check.name, finding.column) for check, _, finding in found] == [
        ("label_leakage", "depends")
    ]


def test_severities_are_those_of_the_configuration() -> None:
    queries = with_feature(clean_queries(), "site", ["main"] * NUM_QUERIES)
    for wanted, expected in (("error", ["error"]), ("warning", ["warning"]), ("ignore", [])):
        checks = {"severity": {"constant_columns": wanted}}
        found = run_checks(inspect_tables(queries=queries, checks=checks))
        assert [severity for _, severity, _ in found] == expected


def test_thresholds_are_those_of_the_configuration() -> None:
    serial = [f"serial {n % 200}" for n in range(NUM_ITEMS)]
    items = with_feature(clean_items(), "serial", serial)
    assert run_checks(inspect_tables(items=items)) == []
    found = run_checks(inspect_tables(items=items, checks={"near_unique_share": 0.6}))
    assert [check.name for check, _, _ in found] == ["near_unique"]


def test_the_clean_tables_are_as_they_say() -> None:
    assert {name: make().num_rows for name, make in CLEAN.items()} == {
        "items": NUM_ITEMS,
        "queries": NUM_QUERIES,
        "interactions": NUM_INTERACTIONS,
    }
    assert clean_items().schema.field(TIMESTAMP).type == UTC_US
