"""The paths of a run's products, and their writing: to a temporary place, then renamed.

    <home>/runs/<as_of>/catalogue/        items, queries, histories, interactions
                        quarantine/       refused rows, each with its reason
                        vocabularies/     one Arrow file per table, schema.json
                        correlations/     matrix and masking plan
                        correlations_<measure>/  the same by another measure, to compare
                        training_set/     encoded rows and examples
                        baselines/        the figures of the tuned baselines
                        model.json        the version trained for this day
                        approved.json     written by the gate, read by export and publication
    <home>/versions/<version>/            one immutable model version, `manifest.json` last
    <home>/published.json                 the version and slot that are served
    <home>/withdrawn.json                 versions that were rolled back
    <home>/gate_reference.json            the fixed version that new ones are measured against
    <home>/feast/                         embedded registry and online store

The folder of a finished stage has `stamp.json`, with the fingerprint of everything that the stage
was made from. A stage is not made again while its fingerprint stays the same.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Literal

from longtail.config import Config
from longtail.errors import InputError, LongtailError

STAMP = "stamp.json"
MANIFEST = "manifest.json"


class CatalogueFiles:
    """The files of a day's catalogue.

    Attributes:
        schema: the features of both sides, as JSON.
        items, queries: the latest row of each item and query that exists on the day; of a query
            also its `history`, if `history.length` is set.
        item_history, query_history: all their rows up to the day.
        interactions: each pair once, with its first time and its weight.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.schema = folder / "schema.json"
        self.items = folder / "items.parquet"
        self.queries = folder / "queries.parquet"
        self.item_history = folder / "item_history.parquet"
        self.query_history = folder / "query_history.parquet"
        self.interactions = folder / "interactions.parquet"

    def latest(self, side: Literal["query", "item"]) -> Path:
        """Return the file with the latest row of each query, or of each item."""
        return self.items if side == "item" else self.queries

    def history(self, side: Literal["query", "item"]) -> Path:
        """Return the file with all rows of the queries, or of the items."""
        return self.item_history if side == "item" else self.query_history


class RunPaths:
    """The paths of one day's products, before they become a version."""

    def __init__(self, config: Config, as_of: date) -> None:
        self.folder = config.home / "runs" / as_of.isoformat()
        self._measure = config.correlation.measure
        self.catalogue = self.folder / "catalogue"
        self.catalogue_files = CatalogueFiles(self.catalogue)
        self.quarantine = self.folder / "quarantine"
        self.vocabularies = self.folder / "vocabularies"
        self.correlations = self.folder / "correlations"
        self.training_set = self.folder / "training_set"
        self.baselines = self.folder / "baselines"
        self.model = self.folder / "model.json"
        self.approved = self.folder / "approved.json"

    def correlations_by(self, measure: str) -> Path:
        """Return the folder of the correlations by a measure: the configured one, or another."""
        configured = measure == self._measure
        return self.correlations if configured else self.folder / f"correlations_{measure}"


class VersionPaths:
    """The paths of one model version."""

    def __init__(self, config: Config, version: str) -> None:
        self.version = version
        self.folder = config.home / "versions" / version
        self.config = self.folder / "config.json"
        self.schema = self.folder / "schema.json"
        self.vocabularies = self.folder / "vocabularies"
        self.masking_plan = self.folder / "masking_plan.json"
        self.checkpoints = self.folder / "checkpoints"
        self.encoder = self.folder / "encoder.safetensors"
        self.training = self.folder / "training.json"
        self.training_log = self.folder / "training.jsonl"
        self.metrics = self.folder / "metrics.json"
        self.embeddings = self.folder / "item_embeddings.parquet"
        self.index = self.folder / "items.faiss"
        self.seen_items = self.folder / "seen_items.parquet"
        self.query_memory = self.folder / "query_memory.parquet"
        self.query_index = self.folder / "queries.faiss"
        self.item_weights = self.folder / "item_weights.parquet"
        self.manifest = self.folder / MANIFEST

    @property
    def committed(self) -> bool:
        """True once the version is whole: its manifest, which is written last, exists."""
        return self.manifest.is_file()


def published_pointer(config: Config) -> Path:
    """Return the path of `published.json`. Replacing it is what commits a publication."""
    return config.home / "published.json"


def gate_reference(config: Config) -> Path:
    """Return the path of `gate_reference.json`, which names the gate's fixed reference."""
    return config.home / "gate_reference.json"


def parse_version_day(version: str) -> date:
    """Return the `as_of` day at the start of a version name.

    Raises:
        InputError: the name does not have the form `YYYYMMDD-<hash>`.
    """
    try:
        return date.fromisoformat(version.split("-")[0])
    except ValueError as error:
        raise InputError(
            f"version {version!r} does not have the form YYYYMMDD-<hash>: see `longtail versions`"
        ) from error


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success, flush it and rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success, put it in the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            # A folder cannot be renamed over another one that has content: move that one away.
            outgoing = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
            path.replace(outgoing)
            temporary.replace(path)
            shutil.rmtree(outgoing)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document atomically."""
    with replaced_file(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        LongtailError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LongtailError(f"{path} does not exist: run the stage that writes it first") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise LongtailError(f"{path} is damaged ({error}): delete it and run again") from error
