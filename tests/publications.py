"""A small project with real Feast stores, whose versions are drawn at random instead of trained.

The Feast repository is the demo's own, with tables of 60 packages. Every version has everything
that a trained one has, and is made by the stages themselves where they need no training.
"""

import functools
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config, HistoryConfig, PublicationConfig
from longtail.features.schema import Schema

ROOT = Path(__file__).resolve().parents[1]
DAYS = (date(2024, 1, 10), date(2024, 2, 10), date(2024, 3, 10), date(2024, 4, 10))
NUM_ITEMS, DIM, CACHE_TTL = 60, 8, 1
REMOVED, NEW = "item-007", "item-new"
"""Each in the catalogue up to the first day, and from the second day on."""

SINGLE = ("section", "source", "maintainer", "multi_arch", "size_band", "homepage_host")
MULTI = ("tags", "name_tokens", "words")


@dataclass(frozen=True)
class Published:
    """The project, and one version a day, approved and committed, none of them published."""

    config: Config
    versions: dict[date, str]

    def vectors(self, day: date) -> dict[str, npt.NDArray[np.float32]]:
        """Each item's vector, as the version's Parquet has it."""
        table = pq.read_table(VersionPaths(self.config, self.versions[day]).embeddings)
        return {
            item: np.array(vector, np.float32)
            for item, vector in zip(
                table["item_id"].to_pylist(), table["embedding"].to_pylist(), strict=True
            )
        }


@functools.cache
def prepared_project(folder: Path) -> Published:
    """`make_project`, once a test session."""
    return make_project(folder)


def make_project(folder: Path, *, history: int = 0) -> Published:
    """Write the tables and the repository, apply it, build each day's catalogue and version.

    Args:
        folder: gets all files.
        history: the length of the queries' histories; 0 for versions without them.
    """
    from longtail.features.feast.catalogue import build_catalogue
    from longtail.features.vocabulary import build_vocabularies

    repository = folder / "feature_repo"
    shutil.copytree(
        ROOT / "feature_repo", repository, ignore=shutil.ignore_patterns("data", ".longtail")
    )
    settings = (repository / "feature_store.yaml").read_text()
    assert "cache_ttl_seconds: 60" in settings
    (repository / "feature_store.yaml").write_text(
        settings.replace("cache_ttl_seconds: 60", f"cache_ttl_seconds: {CACHE_TTL}")
    )
    _write_tables(repository / "data")
    config = Config(
        feature_repo=repository,
        home=folder / "home",
        history=HistoryConfig(length=history),
        publication=PublicationConfig(batch_rows=25, keep_versions=5),
    )
    versions = {}
    for number, day in enumerate(DAYS):
        build_catalogue(config, day)
        build_vocabularies(config, day)
        versions[day] = make_version(config, day, f"{number:08x}")
    return Published(config, versions)


def moved(published: Published, folder: Path) -> Published:
    """The same project with a home of its own."""
    shutil.copytree(published.config.home, folder / "home")
    config = published.config.model_copy(update={"home": folder / "home"})
    return Published(config, published.versions)


def make_version(
    config: Config,
    day: date,
    name: str,
    *,
    memory: dict[str, float] | None = None,
    beta: float | None = None,
) -> str:
    """Draw a version for a day, approve it, index it and commit it.

    Args:
        config: the project.
        day: the day, which has a catalogue and vocabularies.
        name: eight hexadecimal digits; the seed of the version.
        memory: the settings of its memory; None for a version without one.
        beta: the weight of popularity that its evaluation has chosen; the biases are drawn. None
            for a version without biases.
    """
    from longtail.embeddings.index import build_index
    from longtail.embeddings.seen_items import write_seen_items

    version = f"{day:%Y%m%d}-{name}"
    paths, run = VersionPaths(config, version), RunPaths(config, day)
    random = np.random.default_rng(int(name, 16))
    paths.folder.mkdir(parents=True)
    shutil.copy(run.catalogue / "schema.json", paths.schema)
    shutil.copytree(run.vocabularies, paths.vocabularies)
    write_json(paths.config, config.model_dump(mode="json") | {"model": MODEL})
    write_json(paths.training, {"version": version, "parent": None})
    _write_encoder(paths, random)
    items = pq.read_table(run.catalogue / "items.parquet", columns=["item_id"])["item_id"]
    vectors = random.standard_normal((len(items), DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bias = None
    if beta is not None:
        bias = 0.5 * random.standard_normal(len(items)).astype(np.float32)
    write_embeddings(paths.embeddings, items.to_pylist(), vectors, version, bias)
    write_seen_items(run.catalogue_files.interactions, paths.seen_items, made_from="drawn")
    write_json(
        paths.metrics, {"memory": {"settings": memory}, "calibration": {"beta": beta or 0.0}}
    )
    write_json(run.approved, {"version": version, "as_of": day.isoformat(), "reasons": []})
    build_index(config, day)
    return version


MODEL = {"hidden": [16], "output_dim": DIM}


def write_embeddings(
    file: Path,
    items: list[str],
    vectors: npt.NDArray[np.float32],
    version: str,
    bias: npt.NDArray[np.float32] | None = None,
) -> None:
    """Write an `item_embeddings.parquet`."""
    flat = pa.array(vectors.ravel(), pa.float32())
    columns = {
        "item_id": pa.array(items, pa.string()),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        "model_version": pa.array([version] * len(items), pa.string()),
    }
    if bias is not None:
        columns["bias"] = pa.array(bias, pa.float32())
    pq.write_table(pa.table(columns), file)


def _write_encoder(paths: VersionPaths, random: np.random.Generator) -> None:
    import safetensors.torch
    import torch

    from longtail.encoder.torch_encoder import Encoder
    from longtail.features.vocabulary import load_vocabularies

    schema = Schema.from_json(read_json(paths.schema))
    torch.manual_seed(int(random.integers(2**31)))
    tables = {
        name: torch.randn(vocabulary.num_rows, schema.tables[name][0].dim)
        for name, vocabulary in load_vocabularies(paths.vocabularies).items()
    }
    encoder = Encoder(schema, tables, MODEL["hidden"], DIM)
    named = {f"embedding_bags.embedding_bags.{name}.weight": t for name, t in tables.items()}
    safetensors.torch.save_file({**named, **encoder.state_dict()}, paths.encoder)


def _write_tables(data: Path) -> None:
    random = np.random.default_rng(0)
    ids = [f"item-{number:03d}" for number in range(NUM_ITEMS)]
    first, second = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in DAYS[:2])
    data.mkdir()
    rows = [(item, first, True) for item in ids] + [(REMOVED, second, False), (NEW, second, True)]
    items = {"item_id": [row[0] for row in rows], **_features(random, len(rows))}
    items |= {"active": [row[2] for row in rows], "event_timestamp": [row[1] for row in rows]}
    queries = {
        "query_id": ids,
        **_features(random, len(ids)),
        "event_timestamp": [first] * len(ids),
    }
    # A query without any value, and one whose features change on the second day.
    for name in (*SINGLE, *MULTI):
        queries[name][1] = None
    changed = {"query_id": [ids[2]], **_features(random, 1), "event_timestamp": [second]}
    queries = {name: [*queries[name], *changed[name]] for name in queries}
    pairs = random.choice(NUM_ITEMS, (200, 2))
    interactions = {
        "query_id": [ids[query] for query, _ in pairs],
        "item_id": [ids[item] for _, item in pairs],
        "event_timestamp": [first] * len(pairs),
    }
    for name, columns in (("items", items), ("queries", queries), ("interactions", interactions)):
        pq.write_table(pa.table(columns), data / f"{name}.parquet")


def _features(random: np.random.Generator, num_rows: int) -> dict[str, list]:
    columns: dict[str, list] = {
        name: [f"{name}-{value}" for value in random.integers(5, size=num_rows)] for name in SINGLE
    }
    for name in MULTI:
        columns[name] = [
            [f"{name}-{value}" for value in random.choice(9, size, replace=False)]
            for size in random.integers(1, 4, size=num_rows)
        ]
    return columns
