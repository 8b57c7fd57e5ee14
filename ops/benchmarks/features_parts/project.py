"""A project of synthetic tables: 20 features that change over time, and any number of interactions.

There are a tenth as many queries as interactions and a hundredth as many items, each with three
rows per key over 90 days, so that the tables grow with the interactions. Interaction times are
drawn to the microsecond, so that hardly two share a state by luck. Values and items follow Zipf's
law.
"""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.config import Config

FIRST_DAY, NUM_DAYS = datetime(2024, 1, 1, tzinfo=UTC), 90
AS_OF: date = (FIRST_DAY + timedelta(days=NUM_DAYS - 1)).date()
ROWS_A_KEY = 3
STRINGS = {"city": 10_000, "device": 300, "language": 30, "segment": 1_000, "source": 100_000}
INTEGERS = {"age_band": 12, "bucket": 1_000, "account": 50_000}
LISTS = {"topics": 5_000, "words": 100_000}
MOST_VALUES = 6
SIDES = {"query": 10, "item": 100}
_REPOSITORY = Path(__file__).resolve().parents[3] / "feature_repo"
_VIEW = """from datetime import timedelta
from pathlib import Path

from entities import {side}
from feast import FeatureService, FeatureView, Field, FileSource
from feast.types import Array, Int64, String

{view} = FeatureView(
    name="{view}",
    entities=[{side}],
    ttl=timedelta(0),
    schema=[Field(name="{side}_id", dtype=String), {fields}],
    source=FileSource(
        name="{view}_source",
        path=str(Path(__file__).resolve().parent / "data" / "{view}.parquet"),
        timestamp_field="event_timestamp",
    ),
)
{side}_features = FeatureService(name="{side}_features", features=[{view}])
"""
_ENTITIES = """from feast import Entity, ValueType

item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING)
query = Entity(name="query", join_keys=["query_id"], value_type=ValueType.STRING)
"""


def view_name(side: str) -> str:
    """Return the name of a side's feature view and of its table."""
    return "queries" if side == "query" else "items"


def feature_names(side: str) -> list[str]:
    """Return the ten feature names of a side; names differ between the sides."""
    return [f"{side}_{name}" for name in (*STRINGS, *INTEGERS, *LISTS)]


def project_config(folder: Path) -> Config:
    """Return the configuration of the project in a folder."""
    return Config(feature_repo=folder / "feature_repo", home=folder / "home")


def write_project(folder: Path, num_interactions: int) -> None:
    """Write a Feast repository and its three tables. The content is the same at every call."""
    repository = folder / "feature_repo"
    data = repository / "data"
    data.mkdir(parents=True)
    for name in ("feature_store.yaml", "interactions.py"):
        shutil.copyfile(_REPOSITORY / name, repository / name)
    (repository / "entities.py").write_text(_ENTITIES, "utf-8")
    random = np.random.default_rng(0)
    ids = {}
    for side, share in SIDES.items():
        num_keys = max(1, num_interactions // share)
        ids[side] = pa.array([f"{side}-{number:09}" for number in range(num_keys)])
        types = dict.fromkeys(STRINGS, "String") | dict.fromkeys(INTEGERS, "Int64")
        types |= dict.fromkeys(LISTS, "Array(String)")
        fields = ", ".join(f'Field(name="{side}_{n}", dtype={t})' for n, t in types.items())
        view = view_name(side)
        definition = _VIEW.format(side=side, view=view, fields=fields)
        (repository / f"{view}.py").write_text(definition, "utf-8")
        pq.write_table(_features(random, side, ids[side]), data / f"{view}.parquet")
    pq.write_table(_interactions(random, ids, num_interactions), data / "interactions.parquet")


def _zipf(random: np.random.Generator, size: int, num_values: int) -> npt.NDArray[np.int64]:
    """Draw `[size]` values below `num_values`, log-uniformly: k has a frequency of about 1 / k."""
    drawn = np.exp(random.random(size) * np.log(num_values + 1)).astype(np.int64) - 1
    values: npt.NDArray[np.int64] = np.minimum(drawn, num_values - 1)
    return values


def _features(random: np.random.Generator, side: str, keys: pa.Array) -> pa.Table:
    size = len(keys) * ROWS_A_KEY
    columns = {f"{side}_id": keys.take(pa.array(np.arange(size) % len(keys)))}
    for name, num_values in STRINGS.items():
        names = pa.array([f"{name}-{value}" for value in range(num_values)])
        missing = random.random(size) < 0.05
        codes = pa.array(_zipf(random, size, num_values), mask=missing)
        columns[f"{side}_{name}"] = names.take(codes)
    for name, num_values in INTEGERS.items():
        columns[f"{side}_{name}"] = pa.array(_zipf(random, size, num_values))
    for name, num_values in LISTS.items():
        names = pa.array([f"{name}-{value}" for value in range(num_values)])
        offsets = np.zeros(size + 1, np.int32)
        np.cumsum(random.integers(0, MOST_VALUES, size), out=offsets[1:])
        values = names.take(pa.array(_zipf(random, int(offsets[-1]), num_values)))
        columns[f"{side}_{name}"] = pa.ListArray.from_arrays(pa.array(offsets), values)
    # The first row of a key holds from the first day on, the others begin at any moment.
    moments = random.integers(0, NUM_DAYS * 86_400_000_000, size)
    moments[: len(keys)] = 0
    columns["event_timestamp"] = _at(moments)
    table = pa.table(columns)
    return table.take(pa.array(random.permutation(size)))


def _interactions(
    random: np.random.Generator, ids: dict[str, pa.Array], num_interactions: int
) -> pa.Table:
    # Draw a quarter more, because pairs that come twice are dropped; keep a random part of them.
    drawn = num_interactions + num_interactions // 4
    query = random.integers(0, len(ids["query"]), drawn)
    item = _zipf(random, drawn, len(ids["item"]))
    pairs = random.permutation(np.unique(query * len(ids["item"]) + item))[:num_interactions]
    moments = random.integers(0, NUM_DAYS * 86_400_000_000, len(pairs))
    return pa.table(
        {
            "query_id": ids["query"].take(pa.array(pairs // len(ids["item"]))),
            "item_id": ids["item"].take(pa.array(pairs % len(ids["item"]))),
            "event_timestamp": _at(moments),
        }
    )


def _at(microseconds: npt.NDArray[np.int64]) -> pa.Array:
    first = int(FIRST_DAY.timestamp()) * 1_000_000
    return pa.array(microseconds + first, pa.timestamp("us", "UTC"))
