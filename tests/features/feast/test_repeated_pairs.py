"""Pairs that the interactions hold several times: one moment, and one weight by the rule."""

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from longtail.artifacts import STAMP, RunPaths
from longtail.checks.preflight import inspect_project
from longtail.config import Config
from longtail.config.data import DatasetConfig, FeaturesConfig, RepeatedWeights
from longtail.dataset.build_training_set import build_training_set
from longtail.dataset.training_set import load_training_set
from longtail.features.feast.catalogue import build_catalogue
from longtail.features.feast.history import known_pairs
from longtail.features.feast.repository import FeatureRepository
from longtail.features.vocabulary import build_vocabularies
from tests.features.conftest import UTC_US, day
from tests.projects import write_tables

RULES: tuple[RepeatedWeights, ...] = get_args(RepeatedWeights)
Row = tuple[str, str, datetime, float | None]


def table(rows: Sequence[Row]) -> pa.Table:
    queries, items, moments, weights = zip(*rows, strict=True)
    return pa.table(
        {
            "query_id": pa.array(queries, pa.string()),
            "item_id": pa.array(items, pa.string()),
            "event_timestamp": pa.array(moments, UTC_US),
            "weight": pa.array(weights, pa.float32()),
        }
    )


def pairs(rows: pa.Table, rule: RepeatedWeights, as_of: int = 9) -> dict[str, Any]:
    """Return the moment and the weight of each pair, such as `{"q a": (moment, 5.0)}`."""
    known = known_pairs(rows, date(2024, 1, as_of), "interactions.parquet", rule)
    assert known["weight"].type == pa.float32()
    keys = [f"{query} {item}" for query, item in zip(*known.columns[:2], strict=True)]
    assert keys == sorted(set(keys))
    values = zip(known["event_timestamp"].to_pylist(), known["weight"].to_pylist(), strict=True)
    return dict(zip(keys, values, strict=True))


@pytest.mark.parametrize(("rule", "weight"), [("max", 5.0), ("sum", 6.0), ("last", 5.0)])
def test_a_view_and_a_later_purchase(rule: RepeatedWeights, weight: float) -> None:
    seen = table([("q", "a", day(1), 1.0), ("q", "b", day(1), 2.0), ("q", "a", day(3), 5.0)])
    assert pairs(seen, rule) == {"q a": (day(1), weight), "q b": (day(1), 2.0)}
    # On the day of the view nobody knows of the purchase.
    assert pairs(seen, rule, as_of=2) == {"q a": (day(1), 1.0), "q b": (day(1), 2.0)}


@pytest.mark.parametrize(("rule", "weight"), [("max", 5.0), ("sum", 8.5), ("last", 1.5)])
def test_the_largest_of_the_newest_rows_is_the_last(rule: RepeatedWeights, weight: float) -> None:
    rows: list[Row] = [
        *(("q", "a", day(3), 1.5), ("q", "a", day(1), 5.0)),
        *(("q", "a", day(3), None), ("q", "a", day(2), None)),
    ]
    for ordered in (rows, rows[::-1]):
        assert pairs(table(ordered), rule) == {"q a": (day(1), weight)}


@pytest.mark.parametrize(("rule", "weight"), [("max", 1.0), ("sum", 3.0), ("last", 1.0)])
def test_without_weights_each_row_has_one(rule: RepeatedWeights, weight: float) -> None:
    rows = table([("q", "a", day(n), None) for n in (2, 1, 3)] + [("q", "b", day(2), None)])
    expected = {"q a": (day(1), weight), "q b": (day(2), 1.0)}
    assert pairs(rows, rule) == expected
    assert pairs(rows.drop_columns("weight"), rule) == expected


def test_a_weight_of_zero_is_a_weight() -> None:
    rows = table([("q", "a", day(1), 0.0), ("q", "a", day(2), 0.0), ("q", "b", day(1), 0.0)])
    for rule in RULES:
        assert pairs(rows, rule) == {"q a": (day(1), 0.0), "q b": (day(1), 0.0)}


def test_a_sum_too_large_for_float32_stays_finite() -> None:
    largest = float(np.finfo(np.float32).max)
    rows = table([("q", "a", day(1), largest), ("q", "a", day(2), largest)])
    assert pairs(rows, "sum") == {"q a": (day(1), largest)}


MOMENT = st.integers(0, 6).map(lambda hours: day(1) + timedelta(hours=8 * hours))
WEIGHT = st.none() | st.floats(0, 1e6, width=32)


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("qrs"), st.sampled_from("abc"), MOMENT, WEIGHT),
        min_size=1,
        max_size=30,
    ),
    rule=st.sampled_from(RULES),
)
def test_any_table_is_as_a_loop_over_its_rows_has_it(
    rows: list[Row], rule: RepeatedWeights
) -> None:
    rows.append(("q", "a", day(1), 1.0))  # so that the first day is never empty
    by_pair: dict[str, list[tuple[datetime, float]]] = {}
    for query, item, moment, weight in rows:
        if moment < day(2):
            one = (moment, 1.0 if weight is None else weight)
            by_pair.setdefault(f"{query} {item}", []).append(one)
    combine: Callable[[list[tuple[datetime, float]]], float] = {
        "max": lambda known: max(weight for _, weight in known),
        "sum": lambda known: sum(weight for _, weight in known),
        "last": lambda known: max(known)[1],
    }[rule]
    found = pairs(table(rows), rule, as_of=1)
    assert {pair: moment for pair, (moment, _) in found.items()} == {
        pair: min(known)[0] for pair, known in by_pair.items()
    }
    assert {pair: weight for pair, (_, weight) in found.items()} == {
        pair: pytest.approx(combine(known), rel=1e-6) for pair, known in by_pair.items()
    }


@pytest.mark.parametrize("rule", RULES)
def test_large_tables_are_as_pandas_groups_them(rule: RepeatedWeights) -> None:
    rng, num_rows = np.random.default_rng(3), 20_000
    frame = pd.DataFrame(
        {
            "query_id": rng.integers(0, 200, num_rows).astype(str),
            "item_id": rng.integers(0, 100, num_rows).astype(str),
            "event_timestamp": pd.Timestamp(day(1))
            + pd.to_timedelta(rng.integers(0, 240, num_rows), "h"),
            "weight": np.where(
                rng.random(num_rows) < 0.2, np.nan, rng.integers(0, 40, num_rows) / 4
            ).astype(np.float32),
        }
    )
    rows = pa.Table.from_pandas(frame, preserve_index=False)
    column = rows.column_names.index("event_timestamp")
    rows = rows.set_column(column, "event_timestamp", rows["event_timestamp"].cast(UTC_US))
    # Feast's tables come in many pieces.
    rows = pa.concat_tables([rows.slice(start, 3_000) for start in range(0, num_rows, 3_000)])
    found = known_pairs(rows, date(2024, 1, 6), "interactions.parquet", rule).to_pandas()
    known = frame[frame["event_timestamp"] < pd.Timestamp(day(7))].fillna({"weight": 1.0})
    known = known.sort_values(["query_id", "item_id", "event_timestamp", "weight"])
    groups = known.groupby(["query_id", "item_id"])
    expected = groups.agg({"event_timestamp": "min", "weight": rule}).reset_index()
    assert 5_000 < len(expected) < 0.8 * len(known)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_a_sum_does_not_follow_the_order_of_the_table() -> None:
    """The catalogue's fingerprint is that of its bytes: another order is the same catalogue."""
    rng = np.random.default_rng(0)
    rows = table([("q", "a", day(1 + n % 3), float(w)) for n, w in enumerate(rng.random(500))])
    sums = {pairs(rows.take(rng.permutation(500)), "sum")["q a"] for _ in range(20)}
    assert len(sums) == 1


def with_rule(config: Config, rule: RepeatedWeights) -> Config:
    features = FeaturesConfig(repeated_weights=rule)
    return config.model_copy(update={"features": features})


def written(config: Config, as_of: date) -> dict[str, Any]:
    rows: pa.Table = pq.read_table(RunPaths(config, as_of).catalogue_files.interactions)
    return dict(rows.to_pydict())


BOUGHT: list[Row] = [
    *(("q", "a", day(4), 1.0), ("q", "a", day(6), 5.0), ("q", "a", day(8), 2.0)),
    *(("a", "c", day(8), None), ("a", "b", day(9), 0.5)),
]


@pytest.mark.parametrize(
    ("rule", "weight", "earlier"), [("max", 5.0, 5.0), ("sum", 8.0, 6.0), ("last", 2.0, 5.0)]
)
def test_the_catalogue_and_the_checks_have_the_weight_of_the_rule(
    rule: RepeatedWeights, weight: float, earlier: float, project: Config
) -> None:
    write_tables(project.feature_repo.parent, interactions=table(BOUGHT))
    config = with_rule(project, rule)
    build_catalogue(config, date(2024, 1, 9))
    assert written(config, date(2024, 1, 9)) == {
        "query_id": ["a", "a", "q"],
        "item_id": ["b", "c", "a"],
        "event_timestamp": [day(9), day(8), day(4)],
        "weight": [0.5, 1.0, weight],
    }
    build_catalogue(config, date(2024, 1, 7))
    assert written(config, date(2024, 1, 7))["weight"] == [earlier]
    assert written(config, date(2024, 1, 7))["event_timestamp"] == [day(4)]
    # What the checks look at, and what a caller of the repository gets, is the same.
    inspection = inspect_project(config, date(2024, 1, 9))
    assert inspection.known["interactions"]["weight"].to_pylist() == [0.5, 1.0, weight]
    inspection.close()
    pairs_of_day = FeatureRepository(config).interactions(date(2024, 1, 7))
    assert pairs_of_day["weight"].to_pylist() == [earlier]


def made(config: Config, as_of: date) -> dict[str, tuple[str, int]]:
    """Make the data stages of a day, and return each one's fingerprint and time of writing."""
    build_catalogue(config, as_of)
    build_vocabularies(config, as_of)
    build_training_set(config, as_of)
    paths = RunPaths(config, as_of)
    stamps = {folder.name: folder / STAMP for folder in (paths.catalogue, paths.training_set)}
    return {
        name: (json.loads(file.read_text())["fingerprint"], file.stat().st_mtime_ns)
        for name, file in stamps.items()
    }


def test_another_rule_makes_the_training_set_again_where_it_changes_a_weight(
    project: Config,
) -> None:
    as_of, folder = date(2024, 1, 9), project.feature_repo.parent
    only_training = DatasetConfig(validation_fraction=0.0, test_fraction=0.0)
    project = project.model_copy(update={"dataset": only_training})
    training_set = RunPaths(project, as_of).training_set
    write_tables(folder, interactions=table(BOUGHT))
    by_max = made(with_rule(project, "max"), as_of)
    assert sorted(load_training_set(training_set).train.weight) == [0.5, 1.0, 5.0]
    by_sum = made(with_rule(project, "sum"), as_of)
    assert sorted(load_training_set(training_set).train.weight) == [0.5, 1.0, 8.0]
    assert all(by_max[stage][0] != by_sum[stage][0] for stage in by_max)
    # Without a repeated pair the rule changes nothing, so nothing is made again.
    write_tables(folder, interactions=table([BOUGHT[0], *BOUGHT[3:]]))
    by_max = made(with_rule(project, "max"), as_of)
    by_last = made(with_rule(project, "last"), as_of)
    assert by_max["catalogue"][0] == by_last["catalogue"][0]
    assert by_max["training_set"] == by_last["training_set"]


def test_an_unknown_rule_is_a_wrong_value() -> None:
    with pytest.raises(ValidationError, match="repeated_weights"):
        FeaturesConfig.model_validate({"repeated_weights": "first"})
