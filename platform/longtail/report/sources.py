"""The files that a report is made from: those of a version, and of the run of its day."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import STAMP, RunPaths, VersionPaths, parse_version_day, read_json
from longtail.config import Config
from longtail.embeddings.index import read_embeddings
from longtail.embeddings.published_pointer import Pointer, read_pointer
from longtail.embeddings.versions import list_versions
from longtail.errors import InputError, LongtailError
from longtail.features.schema import Schema, Side


@dataclass(frozen=True)
class VersionSources:
    """The files of one version and of its day's run; what is not there is None or empty.

    A version that the gate refused has neither embeddings nor manifest, and an old run may be gone.
    """

    config: Config
    version: str
    paths: VersionPaths = field(init=False)
    run: RunPaths = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", VersionPaths(self.config, self.version))
        object.__setattr__(self, "run", RunPaths(self.config, parse_version_day(self.version)))

    @property
    def as_of(self) -> str:
        """The version's day, ISO 8601."""
        return parse_version_day(self.version).isoformat()

    @cached_property
    def manifest(self) -> dict[str, Any] | None:
        """The content of `manifest.json`; None before the version is committed."""
        document: dict[str, Any] | None = _optional(self.paths.manifest)
        return document

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """The content of `metrics.json`, if it has an evaluation."""
        document = _optional(self.paths.metrics)
        return {**document} if document and "metrics" in document else None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration that the version was trained with."""
        return _optional(self.paths.config) or {}

    @cached_property
    def training(self) -> dict[str, Any]:
        """The content of `training.json`: steps, final loss, parent."""
        return _optional(self.paths.training) or {}

    @cached_property
    def correlations(self) -> dict[str, Any] | None:
        """The correlations that the version's masks were planned from."""
        document: dict[str, Any] | None = _optional(self.paths.masking_plan)
        return document if document and document.get("matrix") else None

    @cached_property
    def schema(self) -> Schema:
        """The features that the version knows."""
        return Schema.from_json(read_json(self.paths.schema))

    @cached_property
    def approval(self) -> dict[str, Any] | None:
        """The content of the day's `approved.json`, if it names this version."""
        document = _optional(self.run.approved)
        return document if document and document.get("version") == self.version else None

    @cached_property
    def embeddings(self) -> tuple[pa.Array, npt.NDArray[np.float32]] | None:
        """The `[num_items]` ids and `[num_items, dim]` vectors, in the order of the index."""
        if not self.manifest:
            return None
        # Biases move no neighbour: those are found by cosine.
        items, vectors, _ = read_embeddings(self.paths.embeddings)
        return items, vectors

    @cached_property
    def run_is_its_own(self) -> bool:
        """Whether the day's run still holds the data that the version was trained on."""
        own = _optional(self.paths.vocabularies / STAMP)
        there = _optional(self.run.vocabularies / STAMP)
        return bool(own and there and own.get("fingerprint") == there.get("fingerprint"))

    @cached_property
    def pairs(self) -> pa.Table | None:
        """The pairs of query and item that the version was made from: `query_id`, `item_id`."""
        file = self.paths.seen_items
        if not file.is_file() and self.run_is_its_own:
            file = self.run.catalogue_files.interactions
        return pq.read_table(file, columns=["query_id", "item_id"]) if file.is_file() else None

    @cached_property
    def interactions_of_items(self) -> npt.NDArray[np.int64]:
        """`[num_items]` pairs of each item of the embeddings."""
        assert self.embeddings is not None
        items = self.embeddings[0]
        if self.pairs is None:
            return np.zeros(len(items), np.int64)
        rows = pc.index_in(self.pairs["item_id"].combine_chunks(), value_set=items).drop_null()
        return np.bincount(rows.to_numpy(), minlength=len(items))

    def keys(self, side: Side) -> pa.Array | None:
        """Return the ids of one side's catalogue, each once."""
        if side == "item" and self.embeddings is not None:
            return self.embeddings[0]
        file = self.run.catalogue_files.latest(side)
        if not (self.run_is_its_own and file.is_file()):
            return None
        key = self.key_column(side)
        return pq.read_table(file, columns=[key])[key].combine_chunks()

    def key_column(self, side: Side) -> str:
        """Return the column of the catalogue that holds one side's ids."""
        return self.schema.item_key if side == "item" else self.schema.query_key

    def catalogue(self, side: Side) -> pa.Table | None:
        """Return one side's catalogue with all feature columns, one row for each key."""
        file = self.run.catalogue_files.latest(side)
        return pq.read_table(file) if self.run_is_its_own and file.is_file() else None


def _optional(file: Path) -> Any:
    return read_json(file) if file.is_file() else None


def reported_version(config: Config, version: str | None) -> str:
    """Return the version to report on: the one asked for, or else the served one.

    Raises:
        InputError: there is no such version on disk.
        LongtailError: none was asked for, and nothing is published.
    """
    if version is None:
        pointer = read_pointer(config)
        if pointer is None:
            raise LongtailError(
                "nothing is published yet: name a version (`longtail versions` lists them), or "
                "run `longtail run` first"
            )
        version = pointer.served.version
    known = [entry["version"] for entry in list_versions(config)]
    if version not in known:
        raise InputError(
            f"there is no version {version!r}: versions on disk: {', '.join(known) or 'none'}"
        )
    return version


def compared_version(config: Config, sources: VersionSources) -> str | None:
    """Return the version that was served before this one, if it is still on disk.

    It is the one that the evaluation compared with. Without such a comparison it is what the
    pointer file names: the served version, or for the served version the previous one.
    """
    against = (sources.metrics or {}).get("against_served")
    pointer: Pointer | None = read_pointer(config)
    candidates = [
        against["version"] if against else None,
        pointer.served.version if pointer else None,
        pointer.previous.version if pointer and pointer.previous else None,
    ]
    for candidate in candidates:
        if candidate and candidate != sources.version:
            found = VersionPaths(config, candidate)
            older = parse_version_day(candidate) <= parse_version_day(sources.version)
            if found.committed and older:
                return candidate
    return None
