"""A project with two versions whose files are drawn at random, without Feast and training.

The ids and values of some items are markup: the page must show them as text.
"""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.artifacts import STAMP, RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config, ReportConfig
from longtail.embeddings.published_pointer import Pointer, Publication, write_pointer
from longtail.embeddings.seen_items import write_seen_items
from longtail.embeddings.versions import commit_version
from longtail.features.schema import Feature, Schema
from tests.publications import write_embeddings

DAYS = (date(2024, 1, 10), date(2024, 2, 10))
NAMES = ("20240110-00000001", "20240210-00000002")
EVIL = "</script><img src=x onerror=\"document.title='hacked'\">"
DIM, NUM_ITEMS, NUM_TOPICS = 16, 240, 4
SLICES = ("overall", "head", "tail", "cold")

SCHEMA = Schema(
    item=tuple(
        Feature(name, "item", kind, "string", name, 8, is_id=name == "sku")  # type: ignore[arg-type]
        for name, kind in (("sku", "single"), ("topic", "single"), ("colour", "single"),
                           ("words", "multi"))
    ),
    query=(
        Feature("user", "query", "single", "string", "user", 8, is_id=True),
        Feature("city", "query", "single", "string", "city", 8),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """The project and its two versions; the second one is served, the first was before it."""

    config: Config
    first: str
    second: str

    def read(self, version: str, name: str) -> Any:
        """A JSON file of a version."""
        return read_json(VersionPaths(self.config, version).folder / name)


def item_names(day: int) -> list[str]:
    """The items of a day: the second one has ten more, and lacks the first five."""
    names = [f"thing {number:03d}" for number in range(NUM_ITEMS)]
    names[7], names[8] = EVIL, "<b>bold</b> & 'quoted'"
    return sorted(names if day == 0 else names[5:] + [f"fresh-{n}" for n in range(10)])


def draw_project(folder: Path) -> Drawn:
    """Draw both versions and their runs, and publish the second one."""
    config = Config(feature_repo=folder, home=folder / "home", report=ReportConfig(map_points=60))
    for number in range(2):
        _draw(config, number)
    publications = [
        Publication(name, day.isoformat(), "2024-03-01T00:00:00+00:00", len(item_names(n)), slot)
        for n, (name, day, slot) in enumerate(zip(NAMES, DAYS, "ab", strict=True))
    ]
    write_pointer(config, Pointer(publications[1], publications[0]))
    return Drawn(config, *NAMES)


def _draw(config: Config, number: int) -> None:
    day, version = DAYS[number], NAMES[number]
    paths, run = VersionPaths(config, version), RunPaths(config, day)
    random = np.random.default_rng(number)
    items = item_names(number)
    topic = np.array([sum(map(ord, name)) % NUM_TOPICS for name in items])
    vectors = topic_vectors(topic, random)
    write_json(paths.schema, SCHEMA.to_json())
    settings = config.model_dump(mode="json")
    settings["training"]["num_epochs"] = 5 - number
    write_json(paths.config, settings)
    write_json(paths.training, {"version": version, "parent": NAMES[0] if number else None,
                                "num_steps": 40, "num_epochs": 5 - number,
                                "examples_per_second": 1234.5, "final_loss": 1.5})  # fmt: skip
    lines = [
        {"step": step, "loss": 4.0 / step + 1, "main_loss": 3.0 / step, "epoch": 0}
        for step in range(1, 41)
    ]
    lines.append({"step": 41, "loss": float("nan"), "main_loss": 0.5})
    paths.training_log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    names = [feature.name for feature in SCHEMA.item]
    matrix = np.round(random.uniform(0, 0.9, (4, 4)), 3)
    write_json(paths.masking_plan, {"features": names, "matrix": matrix.tolist(),
                                    "measure": "normalized", "plan": {}})  # fmt: skip
    write_json(paths.metrics, evaluation(version, NAMES[0] if number else None, random))
    _draw_run(run, paths, items, topic, random)
    write_embeddings(paths.embeddings, items, vectors, version)
    index = faiss.IndexFlatIP(DIM)
    index.add(vectors)
    faiss.write_index(index, str(paths.index))
    commit_version(config, version, index={"kind": "flat", "recall@100": 1.0})
    write_json(run.approved, {"version": version, "as_of": day.isoformat(), "served": None,
                              "reasons": [], "warnings": [f"item kNN finds more: {EVIL}"],
                              "fingerprint": ""})  # fmt: skip


def topic_vectors(
    topic: npt.NDArray[np.int64], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Unit vectors that lie near their topic's centre; the centres are the same every day."""
    centres = np.random.default_rng(99).standard_normal((NUM_TOPICS, DIM))
    vectors = centres[topic] + 0.4 * random.standard_normal((len(topic), DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _draw_run(
    run: RunPaths,
    paths: VersionPaths,
    items: list[str],
    topic: npt.NDArray[np.int64],
    random: np.random.Generator,
) -> None:
    """Write the catalogue, in another order than the embeddings', and the stamps."""
    colours = random.choice(["red", "green", "blue"], len(items)).astype(object)
    colours[3] = None
    words = [
        [f"word{word}" for word in random.choice(30, size, replace=False)]
        for size in random.integers(0, 12, len(items))
    ]
    names = np.array(["sea", "sky", f"x {EVIL}", "fire"], object)
    table = pa.table(
        {
            "sku": items,
            "topic": pa.array(names[topic].tolist(), pa.string()),
            "colour": pa.array(colours.tolist(), pa.string()),
            "words": pa.array(words, pa.list_(pa.string())),
        }
    )
    run.catalogue.mkdir(parents=True)
    table = table.take(pa.array(random.permutation(len(items))))
    pq.write_table(table, run.catalogue_files.items)
    users = [f"user {n}" for n in range(50 + 10 * len(items) // 240)]
    cities = random.choice(["Oslo", "Rome"], len(users)).tolist()
    pq.write_table(pa.table({"user": users, "city": cities}), run.catalogue_files.queries)
    # Popularity falls with the row; the same pair may be drawn twice and counts once.
    rows = np.minimum(random.geometric(0.03, 900) - 1, len(items) - 1)
    pairs = sorted({(users[int(u)], items[int(i)]) for u, i in
                    zip(random.integers(0, len(users), 900), rows, strict=True)})  # fmt: skip
    columns = {"query_id": [q for q, _ in pairs], "item_id": [i for _, i in pairs]}
    pq.write_table(pa.table(columns), run.catalogue_files.interactions)
    write_seen_items(run.catalogue_files.interactions, paths.seen_items, made_from="drawn")
    write_json(run.catalogue / STAMP, {"num_queries": len(users), "fingerprint": "c"})
    for folder in (run.vocabularies, paths.vocabularies):
        write_json(folder / STAMP, {"fingerprint": str(run.folder.name)})


def evaluation(version: str, served: str | None, random: np.random.Generator) -> dict[str, Any]:
    """A `metrics.json` with every part that an evaluation can have."""

    def by_slice(scale: float) -> dict[str, Any]:
        names = ("recall@10", "map@10", "recall@50", "map@50")
        return {
            name: {"num_pairs": 1200, **{m: float(scale * random.uniform(0.5, 1)) for m in names}}
            for name in SLICES
        }

    health = {
        "slices": {
            name: {"num_items": 100 + n, "uniformity": -3.0 - n, "alignment": 1.0 + n / 10,
                   "never_retrieved": 0.25 + n / 100}
            for n, name in enumerate(SLICES)
        },
        "effective_rank": 12.4,
        "dim": DIM,
        "popularity_correlation": {"times_retrieved": 0.31, "mean_similarity": None, "norm": 0.0},
        "probes": {
            "topic": {"accuracy": 0.876, "majority": 0.25, "num_classes": 4, "num_items": 200}
        },
    }  # fmt: skip
    against = served and {
        "version": served, "num_common_items": 235,
        "metrics": by_slice(0.9), "served_metrics": by_slice(0.9),
    }  # fmt: skip
    return {
        "version": version, "as_of": "2024-01-10", "num_pairs_without_item": 0,
        "metrics": by_slice(0.8),
        "memory": {"settings": {"weight": 0.5}, "reason": "better", "metrics": by_slice(0.95)},
        "baselines": {
            "popularity_ranking": by_slice(0.1), "random_ranking": by_slice(0.01),
            "tuned": {
                "item kNN": {"settings": {}, "metrics": by_slice(0.5), "notes": ["a note"]},
                "EASE": {"left_out": "too many items"},
            },
        },
        "health": health, "against_served": against or None, "fingerprint": "f",
    }  # fmt: skip
