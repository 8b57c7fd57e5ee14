"""A project of a few dozen packages with real files, and versions with random weights."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config, ModelConfig
from longtail.dataset.training_set import Examples, TrainingSet, write_training_set
from longtail.encoder.torch_encoder import Encoder
from longtail.features.encoding import encode_table
from longtail.features.history_feature import with_history
from longtail.features.schema import Feature, Schema
from longtail.features.vocabulary import build_vocabularies, load_vocabularies

DIM = 8
DAY_US = 86_400_000_000


def feature(name: str, side: str, kind: str, table: str, is_id: bool = False) -> Feature:
    return Feature(name, side, kind, "string", table, DIM, is_id=is_id)  # type: ignore[arg-type]


SCHEMA = Schema(
    query=(
        feature("query_id", "query", "single", "package", is_id=True),
        feature("section", "query", "single", "section"),
    ),
    item=(
        feature("item_id", "item", "single", "package", is_id=True),
        feature("section", "item", "single", "section"),
        feature("tags", "item", "multi", "item_tags"),
    ),
)


@dataclass
class Day:
    """The run folder of a day, with the packages and pairs that were written into it."""

    as_of: date
    catalogue: list[str]
    train: list[tuple[str, str]]
    test: list[tuple[str, str]]


def make_config(home: Path) -> Config:
    return Config(feature_repo=home, home=home, model=ModelConfig(hidden=(16,), output_dim=DIM))


def make_day(config: Config, as_of: date, num_packages: int, *, num_dropped: int = 3) -> Day:
    """Write catalogue, vocabularies and training set of a day.

    The first five packages are in no training interaction. The last ones have left the catalogue,
    but are in some interactions. The last query has no features. With `history.length`, the
    catalogue says that each query knows every item, which training and evaluation must not read.
    """
    generator = np.random.default_rng(num_packages)
    ids = [f"p{number:03}" for number in range(num_packages)]
    catalogue, queries = ids[: num_packages - num_dropped], ids[:-1]
    features = {
        "section": [f"s{number}" for number in generator.integers(5, size=num_packages)],
        "tags": [[f"t{t}" for t in generator.integers(9, size=2)] for _ in ids],
    }
    paths = RunPaths(config, as_of)
    paths.catalogue.mkdir(parents=True)
    schema = with_history(SCHEMA, config.history)
    write_json(paths.catalogue / "schema.json", schema.to_json())

    def write(name: str, key: str, rows: int, **columns: list[Any]) -> pa.Table:
        stamps = pa.array([0] * rows, pa.timestamp("us", "UTC"))
        columns = {column: values[:rows] for column, values in columns.items()}
        table = pa.table({key: ids[:rows], **columns, "event_timestamp": stamps})
        pq.write_table(table, paths.catalogue / f"{name}.parquet")
        return table

    items = write("items", "item_id", len(catalogue), **features)
    history = write("item_history", "item_id", num_packages, **features)
    known = {"history": [ids] * len(queries)} if config.history.length else {}
    latest = write("queries", "query_id", len(queries), section=features["section"], **known)
    write("query_history", "query_id", len(queries), section=features["section"])

    chosen = generator.random((num_packages, num_packages)) < 0.15
    np.fill_diagonal(chosen, False)
    chosen[7, 7] = True  # a query is never shown itself, so this pair cannot be ranked
    query, item = np.nonzero(chosen)
    part = generator.choice(3, len(query), p=[0.6, 0.1, 0.3])
    part[(query == item) | (item < 5)] = 2
    interactions = {"query_id": [ids[q] for q in query], "item_id": [ids[i] for i in item]}
    pq.write_table(pa.table(interactions), paths.catalogue / "interactions.parquet")
    stamp = {"fingerprint": f"{as_of} {num_packages}", "num_queries": len(queries)}
    write_json(paths.catalogue / "stamp.json", stamp)

    build_vocabularies(config, as_of)
    vocabularies = load_vocabularies(paths.vocabularies)
    last = pa.table({"query_id": [ids[-1]], "section": pa.array([None], pa.string())})
    query_rows = encode_table(
        pa.concat_tables([latest.select(["query_id", "section"]), last]), SCHEMA.query, vocabularies
    )

    def examples(number: int) -> Examples:
        rows = np.flatnonzero(part == number)
        return Examples(
            query[rows].astype(np.int32),
            item[rows].astype(np.int32),
            np.ones(len(rows), np.float32),
            np.zeros(len(rows), np.int64),
        )

    positions = np.arange(num_packages, dtype=np.int32)
    training_set = TrainingSet(
        schema=schema,
        item_rows=encode_table(history, SCHEMA.item, vocabularies),
        query_rows=query_rows,
        item_ids=pa.array(ids),
        catalogue_row=np.where(positions < items.num_rows, positions, -1).astype(np.int32),
        item_of_row=positions,
        first_seen=np.zeros(num_packages, np.int64),
        train_count=np.bincount(item[part == 0], minlength=num_packages),
        query_ids=pa.array(ids),
        latest_query_row=np.where(positions < len(queries), positions, -1).astype(np.int32),
        query_of_row=positions,
        train=examples(0),
        validation=examples(1),
        test=examples(2),
    )
    if config.history.length:
        training_set = training_set.with_histories(config.history.length)
    write_training_set(paths.training_set, training_set)
    stamp = {"fingerprint": f"set of {num_packages}", "num_validation": int((part == 1).sum())}
    write_json(paths.training_set / "stamp.json", stamp)

    def pairs(number: int) -> list[tuple[str, str]]:
        rows = np.flatnonzero(part == number)
        return [(ids[query[row]], ids[item[row]]) for row in rows]

    return Day(as_of, catalogue, pairs(0), pairs(2))


def make_version(config: Config, day: Day, *, seed: int) -> str:
    """Write a version of a day with random weights, in the files that training writes."""
    version = f"{day.as_of:%Y%m%d}-{seed:08x}"
    paths, run = VersionPaths(config, version), RunPaths(config, day.as_of)
    paths.vocabularies.mkdir(parents=True)
    for file in run.vocabularies.iterdir():
        (paths.vocabularies / file.name).write_bytes(file.read_bytes())
    schema = with_history(SCHEMA, config.history)
    write_json(paths.schema, schema.to_json())
    write_json(paths.config, config.model_dump(mode="json", exclude={"home", "feature_repo"}))
    generator = torch.Generator().manual_seed(seed)
    num_rows = read_json(run.vocabularies / "stamp.json")["num_rows"]
    tables = {
        table: torch.randn(rows, DIM, generator=generator) for table, rows in num_rows.items()
    }
    item_bias = config.model.item_bias == "learned"
    encoder = Encoder(schema, {}, list(config.model.hidden), DIM, item_bias=item_bias)
    tensors = {
        name: 0.3 * torch.randn(value.shape, generator=generator)
        for name, value in encoder.state_dict().items()
    }
    if item_bias:
        tensors["item_tower.bias_head.weight"] *= 0.1  # smaller than cosines, as when it is learned
    for table, weight in tables.items():
        tensors[f"embedding_bags.embedding_bags.{table}.weight"] = weight
    safetensors.torch.save_file(tensors, paths.encoder)
    result = {"version": version, "as_of": day.as_of.isoformat(), "parent": None}
    write_json(paths.training, result)
    write_json(run.model, result)
    return version
