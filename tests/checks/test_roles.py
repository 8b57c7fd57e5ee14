"""The roles that `longtail init` recorded, compared with tables that no longer fit them."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from longtail.checks.inspected_project import Inspection
from longtail.checks.preflight import check_project, check_tables
from longtail.checks.recorded_roles import read_roles
from longtail.checks.registry import CHECKS, run_checks
from longtail.config import load_config
from longtail.errors import InputError
from longtail.features.feast.refused_rows import TIMESTAMP
from longtail.features.finding import Finding
from tests.blocks import CHOSEN_AT, FIRST_SEEN, structured_choices, write_blocks
from tests.checks.inspections import (
    BORN,
    CHOSEN,
    NUM_INTERACTIONS,
    NUM_ITEMS,
    UTC_US,
    clean_interactions,
    clean_items,
    clean_queries,
    inspect_tables,
    moments,
    replaced,
)
from tests.projects import write_tables

NAMES = {"recorded_roles", "key_overlap", "time_range", "weight_range", "tombstone"}
OF_ROLES = [check for check in CHECKS if check.name in NAMES]
OF_KEYS_AND_WEIGHTS = [
    check
    for check in CHECKS
    if check.name in NAMES | {"zero_weights", "bad_weights", "mismatched_keys", "dangling_keys"}
]


def constant(moment: datetime) -> dict[str, Any]:
    return {"column": None, "first": moment.isoformat(), "last": moment.isoformat()}


def timed(column: str, first: datetime, last: datetime) -> dict[str, Any]:
    return {"column": column, "first": first.isoformat(), "last": last.isoformat()}


# As `longtail init` would write it for the clean tables, made of the user's `ware`, `buyer`, `qty`.
CLEAN: dict[str, Any] = {
    "keys": {
        "items": {"column": "ware", "interactions_column": "ware", "known": 1.0},
        "queries": {"column": "buyer", "interactions_column": "who", "known": 1.0},
    },
    "weight": {
        "column": "qty",
        **dict.fromkeys(("min", "q10", "median", "q90", "max"), 1.0),
        **dict.fromkeys(("zero_share", "missing_share"), 0.0),
    },
    "times": {
        "items": constant(BORN),
        "queries": constant(BORN),
        "interactions": timed("ts", CHOSEN, CHOSEN),
    },
    "tombstone": None,
    "columns": [],
}


def roles(**changes: Any) -> dict[str, Any]:
    """Return the clean record with other values, by their place: `keys__items__known=0.9`."""
    document = deepcopy(CLEAN)
    for place, value in changes.items():
        *above, last = place.split("__")
        reduce(dict.__getitem__, above, document)[last] = value
    return document


def inspected(folder: Path, recorded: Any, checks: Any = None, **changed: pa.Table) -> Inspection:
    """Return an inspection of changed tables in a project with these recorded roles."""
    (folder / "roles.json").write_text(json.dumps(recorded))
    return inspect_tables(checks=checks, config={"feature_repo": folder}, **changed)


def found_by(check: str, inspection: Inspection) -> list[Finding]:
    (wanted,) = [each for each in CHECKS if each.name == check]
    return list(wanted.find(inspection))


def weighted(values: Any) -> pa.Table:
    """Return the clean interactions with these weights, repeated as often as needed."""
    weights = [values[n % len(values)] for n in range(NUM_INTERACTIONS)]
    return replaced(clean_interactions(), "weight", pa.array(weights, pa.float32()))


def stamped(rows: pa.Table, *times: datetime) -> pa.Table:
    """Return the table with these times, repeated as often as needed."""
    values = [times[n % len(times)] for n in range(rows.num_rows)]
    return replaced(rows, TIMESTAMP, pa.array(values, UTC_US))


def gone(number: int) -> pa.Table:
    """Return the clean items, of which the first ones are gone."""
    active = [n >= number for n in range(NUM_ITEMS)]
    return clean_items().append_column("active", pa.array(active))


TWO_DAYS = stamped(clean_interactions(), CHOSEN, CHOSEN + timedelta(days=1))


@dataclass(frozen=True)
class Case:
    """Tables that no longer fit the record in one way, and the finding that must be made."""

    check: str
    table: str
    column: str
    num_rows: int
    examples: tuple[Any, ...]
    what: str
    cure: str
    recorded: dict[str, Any]
    changed: Callable[[], dict[str, pa.Table]]


def num_of_items(number: int) -> int:
    """Count the clean interactions with the first items."""
    ids = clean_interactions()["item_id"].to_pylist()
    return sum(each < f"item-{number:03}" for each in ids)


LOGGED = timed("logged", datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 4, tzinfo=UTC))
EPOCH = datetime(1970, 1, 20, 16, tzinfo=UTC)

CASES = {
    "items without rows": Case(
        *("key_overlap", "interactions", "item_id", num_of_items(60)),
        ("item-000", "item-001", "item-002"),
        r"80\.0% of the different ids in column `item_id` of interactions\.parquet have a row in "
        r"items\.parquet, against 100\.0% at `longtail init`; item-000, item-001, item-002 have no",
        r"add the missing rows to items\.parquet, or write the ids in the same way in both tables; "
        r"if it is meant, write the new figures to `keys\.items` in .*roles\.json, or make the",
        CLEAN,
        lambda: {"items": clean_items().slice(60)},
    ),
    "queries that came from the interactions": Case(
        *("key_overlap", "interactions", "query_id", 1),
        ("query-new",),
        r"99\.6% of the different ids in column `query_id` .* against 100\.0%",
        r"^add the missing rows to queries\.parquet; if it is meant",
        roles(
            keys__queries={"column": None, "interactions_column": "who", "known": 1.0},
        ),
        lambda: {
            "interactions": pa.concat_tables(
                [
                    clean_interactions(),
                    replaced(clean_interactions().slice(0, 1), "query_id", pa.array(["query-new"])),
                ]
            )
        },
    ),
    "cents for euros": Case(
        *("weight_range", "interactions", "weight", NUM_INTERACTIONS),
        ({"median_then": 2.0, "median_now": 200.0},),
        r"column `weight` of interactions\.parquet \(from `qty`\) has a median of 200, against "
        r"2 \(most weights were from 1 to 5\) at `longtail init`",
        r"look for another unit, such as cents for euros; if it is meant, .* `weight` in .*roles",
        roles(weight__median=2.0, weight__q90=5.0),
        lambda: {"interactions": weighted([100.0, 200.0, 500.0])},
    ),
    "hours for seconds": Case(
        *("weight_range", "interactions", "weight", NUM_INTERACTIONS),
        ({"median_then": 3600.0, "median_now": 1.0},),
        r"has a median of 1, against 3600",
        "look for another unit",
        roles(weight__q10=60.0, weight__median=3600.0, weight__q90=7200.0),
        lambda: {"interactions": weighted([0.5, 1.0, 2.0])},
    ),
    "euros for cents, with many zeros": Case(
        *("weight_range", "interactions", "weight", NUM_INTERACTIONS),
        ({"median_then": 200.0, "median_now": 2.0},),
        r"has a median of 2, against 200 \(most weights were from 0 to 500\)",
        "look for another unit",
        roles(weight__q10=0.0, weight__median=200.0, weight__q90=500.0, weight__zero_share=0.2),
        lambda: {"interactions": weighted([0.0, 2.0, 2.0, 2.0, 5.0])},
    ),
    "zeros": Case(
        *("weight_range", "interactions", "weight", NUM_INTERACTIONS),
        ({"zero_share_then": 0.0, "zero_share_now": 0.75},),
        r"`weight` of interactions\.parquet \(from `qty`\) is 0 in 75\.0% of the rows, against "
        r"0\.0% at `longtail init`",
        "look for a join that lost or filled weights; if it is meant",
        CLEAN,
        lambda: {"interactions": weighted([0.0, 0.0, 0.0, 1.0])},
    ),
    "missing weights": Case(
        *("weight_range", "interactions", "weight", NUM_INTERACTIONS),
        ({"missing_share_then": 0.0, "missing_share_now": 1.0},),
        r"is missing, which counts as 1, in 100\.0% of the rows, against 0\.0%",
        "look for a join that lost or filled weights",
        CLEAN,
        lambda: {"interactions": weighted([None])},
    ),
    "no weights any more": Case(
        *("weight_range", "interactions", "weight", NUM_INTERACTIONS),
        (),
        r"^interactions\.parquet has no column `weight` \(from `qty`\) any more, so every",
        r"write the weights again, or, if it is meant, set `weight` to null in .*roles\.json",
        CLEAN,
        lambda: {"interactions": clean_interactions().drop_columns("weight")},
    ),
    "weights that were not there": Case(
        *("weight_range", "interactions", "weight", NUM_INTERACTIONS),
        (),
        r"column `weight` of interactions\.parquet was not there at `longtail init`",
        r"give the column another name, or, if it is meant, record it under `weight` in .*roles",
        roles(weight=None),
        dict,
    ),
    "an old export": Case(
        *("time_range", "interactions", TIMESTAMP, NUM_INTERACTIONS),
        (
            {
                "first_then": "2024-01-05 00:00:00",
                "last_then": "2024-01-08 12:30:00",
                "first": "2024-01-05 00:00:00",
                "last": "2024-01-06 00:00:00",
            },
        ),
        r"column `event_timestamp` of interactions\.parquet \(from `ts`\) has times from "
        r"2024-01-05 00:00:00 to 2024-01-06 00:00:00 \(UTC\), against 2024-01-05 00:00:00 to "
        r"2024-01-08 12:30:00 at `longtail init`; the newest row is older than the newest was$",
        r"look for times in another unit or zone, and for an old export; if it is meant, .*"
        r"`times\.interactions` in .*roles\.json",
        roles(times__interactions=timed("ts", CHOSEN, datetime(2024, 1, 8, 12, 30, tzinfo=UTC))),
        lambda: {"interactions": stamped(clean_interactions(), CHOSEN, CHOSEN + timedelta(days=1))},
    ),
    "seconds read as milliseconds": Case(
        *("time_range", "interactions", TIMESTAMP, NUM_INTERACTIONS // 2),
        ({"first": "1970-01-20 16:00:00", "last": "2024-01-05 00:00:00"},),
        r"; 1200 rows are years older than the oldest was$",
        "look for times in another unit",
        CLEAN,
        lambda: {"interactions": stamped(clean_interactions(), EPOCH, CHOSEN)},
    ),
    "all of them read as milliseconds": Case(
        *("time_range", "interactions", TIMESTAMP, NUM_INTERACTIONS),
        ({"first": "1970-01-20 16:00:00", "last": "1970-01-20 16:00:01"},),
        r"; 2400 rows are years older than the oldest was and the newest row is older than the ne",
        "look for times in another unit",
        CLEAN,
        lambda: {
            "interactions": stamped(clean_interactions(), EPOCH, EPOCH + timedelta(seconds=1)),
        },
    ),
    "a history with one time": Case(
        *("time_range", "items", TIMESTAMP, NUM_ITEMS),
        ({"first": "2024-01-01 00:00:00", "last": "2024-01-01 00:00:00"},),
        r"`event_timestamp` of items\.parquet \(from `logged`\) .*; all rows have one time now$",
        r"write the moment of each row again; if it is meant, .* `times\.items` in",
        roles(times__items=LOGGED),
        dict,
    ),
    "times where there were none": Case(
        *("time_range", "queries", TIMESTAMP, 240),
        ({"first_then": "2024-01-01 00:00:00", "last": "2024-01-02 00:00:00"},),
        r"`event_timestamp` of queries\.parquet has times from .*; all rows had one time then$",
        r"put one time in all rows again; if it is meant, .* `times\.queries` in",
        CLEAN,
        lambda: {"queries": stamped(clean_queries(), BORN, BORN + timedelta(days=1))},
    ),
    "a history that went back": Case(
        *("time_range", "items", TIMESTAMP, NUM_ITEMS),
        ({"last_then": "2024-01-04 00:00:00", "last": "2024-01-01 00:00:00"},),
        r"; the newest row is older than the newest was$",
        "look for times in another unit or zone, and for an old export",
        roles(times__items=LOGGED),
        lambda: {"items": stamped(clean_items(), BORN, BORN - timedelta(days=90))},
    ),
    "items that are gone": Case(
        *("tombstone", "items", "active", 180),
        ({"gone_share_then": 0.1, "gone_share_now": 0.6},),
        r"^180 of 300 items in items\.parquet are gone by column `active` \(from `deleted`\), "
        r"60\.0% against 10\.0% at `longtail init`$",
        r"look for a flag that is read the wrong way round or no longer written, and for items "
        r"that an export lost; if it is meant, .* `tombstone` in",
        roles(tombstone={"column": "deleted", "gone_share": 0.1}),
        lambda: {"items": gone(180)},
    ),
    "a flag that was not there": Case(
        *("tombstone", "items", "active", 90),
        ({"gone_share_then": 0.0, "gone_share_now": 0.3},),
        r"90 of 300 items in items\.parquet are gone by column `active`, 30\.0% against 0\.0% at",
        "look for a flag",
        CLEAN,
        lambda: {"items": gone(90)},
    ),
    "a flag that says nothing any more": Case(
        *("tombstone", "items", "active", 0),
        ({"gone_share_then": 0.05, "gone_share_now": 0.0},),
        r"0 of 300 items in items\.parquet are gone by column `active`, 0\.0% against 5\.0%",
        "no longer written",
        roles(tombstone={"column": "active", "gone_share": 0.05}),
        lambda: {"items": gone(0)},
    ),
}
LIMITS = {"queries that came from the interactions": {"max_overlap_loss": 0.004}}


@pytest.mark.parametrize("name", CASES)
def test_a_check_fires_on_tables_that_no_longer_fit(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    inspection = inspected(tmp_path, case.recorded, LIMITS.get(name), **case.changed())
    found = run_checks(inspection, OF_ROLES)
    assert [(check.name, severity) for check, severity, _ in found] == [(case.check, "warning")]
    ((_, _, finding),) = found
    assert (finding.table, finding.source) == (case.table, f"{case.table}.parquet")
    assert (finding.column, finding.num_rows) == (case.column, case.num_rows)
    assert re.search(case.what, finding.what), finding.what
    assert re.search(case.cure, finding.cure), finding.cure
    assert len(finding.examples) == len(case.examples)
    for example, expected in zip(finding.examples, case.examples, strict=True):
        if isinstance(expected, dict):
            assert {name: example[name] for name in expected} == pytest.approx(expected)
        else:
            assert example == expected
    assert json.loads(json.dumps(finding.examples, allow_nan=False)) == list(finding.examples)
    # Without the record there is nothing to compare with.
    (tmp_path / "roles.json").unlink()
    again = inspect_tables(config={"feature_repo": tmp_path}, **case.changed())
    assert run_checks(again, OF_ROLES) == []


def test_every_check_of_the_roles_has_a_case() -> None:
    assert {case.check for case in CASES.values()} == NAMES - {"recorded_roles"}
    assert {check.name for check in OF_ROLES} == NAMES


def test_tables_that_fit_give_no_finding(tmp_path: Path) -> None:
    assert run_checks(inspected(tmp_path, CLEAN)) == []


@pytest.mark.parametrize(
    ("recorded", "changed"),
    [
        # A window of some months, and a year of history that was added; dates where moments were.
        *(
            (roles(times__interactions=timed("ts", first, last)), {"interactions": TWO_DAYS})
            for first, last in (
                (BORN - timedelta(days=300), CHOSEN),
                (CHOSEN + timedelta(days=400), CHOSEN),
                (CHOSEN, CHOSEN + timedelta(days=1, hours=23)),
            )
        ),
        # One time for all rows, another one than then.
        (roles(times__items=constant(BORN + timedelta(days=2))), {}),
        # All rows of the first day had one time; later ones have others.
        (roles(), {"interactions": TWO_DAYS}),
        # Overlap that was low, rose, or fell by as much as the limit.
        (roles(keys__items__known=0.3), {}),
        (roles(keys__items__known=0.9), {"items": clean_items().slice(60)}),
        (roles(keys__queries={"column": None, "interactions_column": "who", "known": None}), {}),
        # Shares and weights that moved a little.
        (roles(weight__zero_share=0.3), {"interactions": weighted([0.0, 1.0])}),
        (roles(weight__missing_share=0.2), {}),
        (roles(weight__q90=1.5), {"interactions": weighted([3.0, 4.0])}),
        (roles(tombstone={"column": "gone", "gone_share": 0.3}), {"items": gone(150)}),
        (roles(tombstone={"column": "gone", "gone_share": 0.01}), {"items": gone(0)}),
        (roles(weight=None), {"interactions": clean_interactions().drop_columns("weight")}),
    ],
)
def test_what_changes_from_day_to_day_is_fine(
    recorded: dict[str, Any], changed: dict[str, pa.Table], tmp_path: Path
) -> None:
    found = run_checks(inspected(tmp_path, recorded, **changed), OF_ROLES)
    assert [finding.message for _, _, finding in found] == []


def test_weights_that_are_all_zero_stop_a_run(tmp_path: Path) -> None:
    """With a record and without, and the range is not reported beside."""
    for recorded in (CLEAN, roles(weight=None)):
        inspection = inspected(tmp_path, recorded, interactions=weighted([0.0]))
        found = run_checks(inspection, OF_KEYS_AND_WEIGHTS)
        named = {check.name: severity for check, severity, _ in found}
        assert named.pop("zero_weights") == "error"
        assert named == ({} if recorded is CLEAN else {"weight_range": "warning"})
    for values in ([0.0, None], [0.0] * 5 + [1e-30], [None]):
        assert found_by("zero_weights", inspect_tables(interactions=weighted(values))) == []


def test_ids_of_another_kind_are_told_once(tmp_path: Path) -> None:
    """`mismatched_keys` is the error for this; where it is ignored, `key_overlap` speaks."""
    named = [f"sku:{item}" for item in clean_interactions()["item_id"].to_pylist()]
    interactions = replaced(clean_interactions(), "item_id", pa.array(named))
    found = run_checks(inspected(tmp_path, CLEAN, interactions=interactions), OF_KEYS_AND_WEIGHTS)
    assert [(check.name, finding.column) for check, _, finding in found] == [
        ("mismatched_keys", "item_id")
    ]
    checks = {"severity": {"mismatched_keys": "ignore"}}
    inspection = inspected(tmp_path, CLEAN, checks, interactions=interactions)
    found = run_checks(inspection, OF_KEYS_AND_WEIGHTS)
    ((check, _, finding),) = found
    assert (check.name, finding.num_rows) == ("key_overlap", NUM_INTERACTIONS)
    assert finding.what.startswith("0.0% of the different ids")


def test_limits_are_those_of_the_configuration(tmp_path: Path) -> None:
    for name, limits in {
        "items without rows": {"max_overlap_loss": 0.2},
        "cents for euros": {"max_weight_change": 40},
        "zeros": {"max_share_change": 0.75},
        "items that are gone": {"max_share_change": 0.5},
    }.items():
        case = CASES[name]
        inspection = inspected(tmp_path, case.recorded, limits, **case.changed())
        assert found_by(case.check, inspection) == [], name


def test_all_rows_count_whatever_the_day_is(tmp_path: Path) -> None:
    """A run of an earlier day knows fewer rows, which says nothing about the table."""
    later = CHOSEN + timedelta(days=3, hours=12)
    recorded = roles(times__interactions=timed("ts", CHOSEN - timedelta(days=9), later))
    interactions = stamped(clean_interactions(), CHOSEN, later)
    whole = inspected(tmp_path, recorded, interactions=interactions)
    assert found_by("time_range", whole) == []
    early = Inspection(
        whole.config,
        date(2024, 1, 6),
        schema=whole.schema,
        sources=whole.sources,
        admitted=whole.admitted,
        known={**whole.known, "interactions": whole.known["interactions"].slice(0, 10)},
    )
    assert found_by("time_range", early) == []
    assert found_by("key_overlap", early) == []


def test_the_latest_row_of_an_item_says_whether_it_is_gone(tmp_path: Path) -> None:
    before = gone(NUM_ITEMS)
    after = replaced(gone(0), TIMESTAMP, moments(NUM_ITEMS, CHOSEN))
    recorded = roles(
        tombstone={"column": "gone", "gone_share": 0.1}, times__items=timed("at", BORN, CHOSEN)
    )
    for rows, num_gone in ((pa.concat_tables([before, after]), 0), (before, NUM_ITEMS)):
        (finding,) = found_by("tombstone", inspected(tmp_path, recorded, items=rows))
        assert finding.num_rows == num_gone


def test_times_that_python_has_not_are_read(tmp_path: Path) -> None:
    """A database's smallest date stands for a missing one, and may lie before the year 1."""
    micros = np.full(NUM_INTERACTIONS, int(CHOSEN.timestamp() * 1e6))
    micros[:3] = -62_135_600_000_000_000
    interactions = replaced(clean_interactions(), TIMESTAMP, pa.array(micros).cast(UTC_US))
    inspection = inspected(tmp_path, CLEAN, interactions=interactions)
    (check,) = [check for check in CHECKS if check.name == "time_range"]
    (finding,) = check.find(inspection)
    assert finding.num_rows == 3
    assert "; 3 rows are years older than the oldest was" in finding.what


BROKEN: dict[str, tuple[bytes, str]] = {
    "no JSON": (b'{"keys": ', r"\(Invalid JSON, EOF while parsing .*\)"),
    "empty": (b"", r"\(Invalid JSON, "),
    "another encoding": ("{'keys': 'ü'}".encode("latin-1"), r"\(Invalid JSON, "),
    "a list": (b"[]", r"\(Input should be an object\)"),
    "no keys": (b"{}", r"\(`keys`, Field required, `weight`, Field required, .*, and 1 more\)"),
    "a share": (
        json.dumps(roles(keys__items__known=1.5)).encode(),
        r"\(`keys\.items\.known`, Input should be less than or equal to 1\)",
    ),
    "a side": (
        json.dumps({**CLEAN, "keys": {"items": CLEAN["keys"]["items"]}}).encode(),
        r"\(keys\.queries is missing\)",
    ),
    "a table": (
        json.dumps({**CLEAN, "times": {"items": constant(BORN)}}).encode(),
        r"\(times\.queries, times\.interactions is missing\)",
    ),
    "a figure": (
        json.dumps(roles(keys__items={"column": "ware"})).encode(),
        r"\(`keys\.items`, `known` is missing\)",
    ),
    "a time": (
        json.dumps(roles(times__items__first="yesterday")).encode(),
        r"\(`times\.items\.first`, Input should be a valid datetime",
    ),
    "not finite": (
        json.dumps(roles(weight__median=float("nan"))).encode(),
        r"\(`weight\.median`, Input should be a finite number\)",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_record_that_cannot_be_used_is_one_warning(name: str, tmp_path: Path) -> None:
    content, told = BROKEN[name]
    file = tmp_path / "roles.json"
    file.write_bytes(content)
    found = run_checks(inspect_tables(config={"feature_repo": tmp_path}), OF_ROLES)
    ((check, severity, finding),) = found
    assert (check.name, severity, finding.source) == ("recorded_roles", "warning", str(file))
    assert re.search(
        f"^{re.escape(str(file))} is not as `longtail init` writes it {told}", finding.what
    ), finding.what
    assert finding.cure == (
        "delete it to do without its checks, or make the project anew with `longtail init --force`"
    )


def test_a_record_that_cannot_be_opened_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "roles.json").mkdir()
    ((check, _, finding),) = run_checks(inspect_tables(config={"feature_repo": tmp_path}), OF_ROLES)
    assert check.name == "recorded_roles"
    assert finding.what == f"{tmp_path}/roles.json cannot be read (Is a directory)"
    with pytest.raises(InputError, match="cannot be read"):
        read_roles(tmp_path)


def test_times_without_a_zone_are_utc(tmp_path: Path) -> None:
    first, last = BORN.replace(tzinfo=None), CHOSEN.replace(tzinfo=None)
    recorded = roles(times__items=timed("at", first, last))
    (tmp_path / "roles.json").write_text(json.dumps(recorded))
    read = read_roles(tmp_path)
    assert read is not None
    assert read.times["items"].last == CHOSEN


def test_a_project_is_checked_by_the_command_and_in_dagster(tmp_path: Path) -> None:
    """The file stands beside Feast's definitions and does not disturb them."""
    config = load_config(write_blocks(tmp_path))
    as_of = date(2024, 1, 5)
    fitting = roles(
        weight=None,
        times__items=constant(FIRST_SEEN),
        times__queries=constant(FIRST_SEEN),
        times__interactions=timed("ts", CHOSEN_AT, CHOSEN_AT),
    )
    file = config.feature_repo / "roles.json"
    file.write_text(json.dumps(fitting))
    assert check_project(config, None).problems == ()
    choices = structured_choices()
    weights = pa.array(np.zeros(choices.num_rows), pa.float32())
    write_tables(tmp_path, interactions=choices.append_column("weight", weights))
    report = check_tables(config, as_of)
    assert [(each.check, each.severity) for each in report.problems] == [
        ("zero_weights", "error"),
        ("weight_range", "warning"),
    ]
    assert report.problems[0].finding.source.endswith("data/interactions.parquet")
