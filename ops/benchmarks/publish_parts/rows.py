"""A version with random vectors, ready to be published, and the same rows as a Feast source."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from longtail.artifacts import RunPaths, VersionPaths, write_json
from longtail.config import Config
from longtail.features.schema import Feature, Schema
from longtail.fingerprints import file_hash

DAY, VERSION = date(2024, 1, 10), "20240110-00000001"
CHUNK_ROWS = 50_000
_REPOSITORY = Path(__file__).resolve().parents[3] / "feature_repo"
_REFERENCE = '''
"""A view of the published rows, for `FeatureStore.materialize`."""

from datetime import timedelta

from entities import item
from feast import FeatureView, Field, FileSource
from feast.types import Array, Float32, String

reference = FeatureView(
    name="reference",
    entities=[item],
    ttl=timedelta(0),
    schema=[
        Field(name="embedding", dtype=Array(Float32)),
        Field(name="model_version", dtype=String),
    ],
    source=FileSource(name="reference", path={path!r}, timestamp_field="event_timestamp"),
)
'''


def make_project(folder: Path, num_rows: int, dim: int, online_store: dict[str, Any]) -> Config:
    """Make a Feast repository over an online store, and an approved version. Publish nothing."""
    from longtail.features.feast.repository import FeatureRepository

    repository = folder / "feature_repo"
    shutil.copytree(_REPOSITORY, repository, ignore=shutil.ignore_patterns("data", ".longtail"))
    settings = yaml.safe_load((repository / "feature_store.yaml").read_text("utf-8"))
    settings["online_store"] = online_store
    (repository / "feature_store.yaml").write_text(yaml.safe_dump(settings))
    source = folder / "reference.parquet"
    (repository / "reference.py").write_text(_REFERENCE.format(path=str(source)))
    config = Config(feature_repo=repository, home=folder / "home")
    _write_rows(config, source, num_rows, dim)
    FeatureRepository(config).apply()
    return config


def _write_rows(config: Config, source: Path, num_rows: int, dim: int) -> None:
    """Write the version, its manifest, the day's catalogue, and the source, chunk by chunk."""
    paths, run = VersionPaths(config, VERSION), RunPaths(config, DAY)
    paths.folder.mkdir(parents=True)
    run.catalogue.mkdir(parents=True)
    key = Feature("item_id", "item", "single", "string", "item_id", dim, is_id=True)
    query = Feature("query_id", "query", "single", "string", "query_id", dim, is_id=True)
    schema = Schema((query,), (key,))
    write_json(run.catalogue / "schema.json", schema.to_json())
    write_json(run.approved, {"version": VERSION, "as_of": DAY.isoformat(), "reasons": []})
    # The version and Feast's source hold the same rows; the source also has a timestamp.
    random = np.random.default_rng(0)
    moment = pa.scalar(
        datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC), pa.timestamp("us", "UTC")
    )
    fields = [
        pa.field("item_id", pa.string()),
        pa.field("embedding", pa.list_(pa.float32(), dim)),
        pa.field("model_version", pa.string()),
    ]
    embeddings = pa.schema(fields)
    reference = pa.schema([*fields, pa.field("event_timestamp", moment.type)])
    with (
        pq.ParquetWriter(paths.embeddings, embeddings, compression="zstd") as version,
        pq.ParquetWriter(source, reference, compression="zstd") as rows,
        pq.ParquetWriter(run.catalogue / "items.parquet", pa.schema(fields[:1])) as items,
    ):
        # Chunk by chunk: a million vectors at once would take half a gigabyte.
        for start in range(0, num_rows, CHUNK_ROWS):
            size = min(CHUNK_ROWS, num_rows - start)
            vectors = random.standard_normal((size, dim), np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            ids = pa.array([f"item-{number:08}" for number in range(start, start + size)])
            flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim)
            columns = [ids, flat, pa.repeat(pa.scalar(VERSION), size)]
            version.write_table(pa.table(columns, schema=embeddings))
            rows.write_table(pa.table([*columns, pa.repeat(moment, size)], schema=reference))
            items.write_table(pa.table([ids], schema=pa.schema(fields[:1])))
    manifest = {
        "version": VERSION,
        "as_of": DAY.isoformat(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "embedding_dim": dim,
        "num_items": num_rows,
        "files": {paths.embeddings.name: file_hash(paths.embeddings)},
    }
    write_json(paths.manifest, manifest)
