"""A published project with random weights: the demo's Feast repository, synthetic packages."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config

DAY = date(2024, 1, 10)
VERSION = "20240110-00000001"
_REPOSITORY = Path(__file__).resolve().parents[3] / "feature_repo"
_SINGLE = ("section", "source", "maintainer", "multi_arch", "size_band", "homepage_host")
_MULTI = {"tags": 6, "name_tokens": 3, "words": 8}


def publish_project(folder: Path, num_items: int) -> Config:
    """Write tables, make a version with the shape of the default model, publish it into SQLite.

    The stages themselves do everything but training: the weights are random.
    """
    from longtail.embeddings.publish import publish, publish_query_features
    from longtail.features.feast.catalogue import build_catalogue
    from longtail.features.vocabulary import build_vocabularies

    repository = folder / "feature_repo"
    shutil.copytree(_REPOSITORY, repository, ignore=shutil.ignore_patterns("data", ".longtail"))
    _write_tables(repository / "data", num_items)
    config = Config(feature_repo=repository, home=folder / "home")
    build_catalogue(config, DAY)
    build_vocabularies(config, DAY)
    add_version(config, VERSION)
    publish_query_features(config, DAY)
    publish(config, DAY)
    return config


def add_version(config: Config, version: str) -> None:
    """Make a version of the day with random weights, approve, export, index and commit it."""
    from longtail.embeddings.export import export_catalogue
    from longtail.embeddings.index import build_index

    _write_version(config, version)
    approve(config, version)
    export_catalogue(config, DAY)
    build_index(config, DAY)


def approve(config: Config, version: str) -> None:
    """Approve a version: the next publication of the day serves it."""
    document = {"version": version, "as_of": DAY.isoformat(), "reasons": []}
    write_json(RunPaths(config, DAY).approved, document)


def query_rows(config: Config, count: int) -> list[dict[str, object]]:
    """Return the feature values of the first queries, as plain values, which callers have."""
    rows: list[dict[str, object]] = query_table(config).slice(0, count).to_pylist()
    return rows


def query_table(config: Config) -> pa.Table:
    """Return the features of all queries."""
    file = RunPaths(config, DAY).catalogue / "queries.parquet"
    with pq.ParquetFile(file) as parquet:
        return parquet.read(columns=["query_id", *_SINGLE, *_MULTI])


def _write_tables(data: Path, num_items: int) -> None:
    random = np.random.default_rng(0)
    num_queries = min(num_items, 1_000)
    ids = np.array([f"item-{number:08}" for number in range(num_items)])
    pairs = random.choice(num_queries, (2, 5_000))
    data.mkdir()
    for name, key, size in (("items", "item_id", num_items), ("queries", "query_id", num_queries)):
        columns = {
            key: pa.array(ids[:size]),
            **_features(random, size),
            "event_timestamp": _at(size),
        }
        if name == "items":
            columns["active"] = pa.array(np.ones(size, np.bool_))
        pq.write_table(pa.table(columns), data / f"{name}.parquet")
    interactions = {
        "query_id": ids[pairs[0]],
        "item_id": ids[pairs[1]],
        "event_timestamp": _at(5_000),
    }
    pq.write_table(pa.table(interactions), data / "interactions.parquet")


def _at(size: int) -> pa.Array:
    moment = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    return pa.repeat(pa.scalar(moment, pa.timestamp("us", "UTC")), size)


def _features(random: np.random.Generator, size: int) -> dict[str, pa.Array]:
    columns = {}
    for name in _SINGLE:
        names = pa.array([f"{name}-{value}" for value in range(1_000)])
        columns[name] = names.take(pa.array(random.integers(1_000, size=size)))
    for name, count in _MULTI.items():
        names = pa.array([f"{name}-{value}" for value in range(5_000)])
        values = names.take(pa.array(random.integers(5_000, size=size * count)))
        offsets = pa.array(np.arange(0, size * count + 1, count, dtype=np.int32))
        columns[name] = pa.ListArray.from_arrays(offsets, values)
    return columns


def _write_version(config: Config, version: str) -> None:
    import safetensors.torch
    import torch

    from longtail.encoder.torch_encoder import Encoder
    from longtail.features.schema import Schema
    from longtail.features.vocabulary import load_vocabularies

    paths, run = VersionPaths(config, version), RunPaths(config, DAY)
    paths.folder.mkdir(parents=True)
    shutil.copy(run.catalogue / "schema.json", paths.schema)
    shutil.copytree(run.vocabularies, paths.vocabularies)
    write_json(paths.config, config.model_dump(mode="json"))
    write_json(paths.training, {"version": version, "parent": None})
    schema = Schema.from_json(read_json(paths.schema))
    torch.manual_seed(int(version.split("-")[1], 16))
    tables = {
        f"embedding_bags.embedding_bags.{name}.weight": torch.randn(
            vocabulary.num_rows, schema.tables[name][0].dim
        )
        for name, vocabulary in load_vocabularies(paths.vocabularies).items()
    }
    encoder = Encoder(schema, {}, list(config.model.hidden), config.model.output_dim)
    safetensors.torch.save_file({**tables, **encoder.state_dict()}, paths.encoder)
