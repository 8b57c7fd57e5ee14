"""Recommendation: a query's online features, through the query tower, to the nearest items."""

from dataclasses import dataclass
from typing import Any

import pyarrow.dataset
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, VersionPaths, parse_version_day
from longtail.config import Config
from longtail.embeddings.pointer import served_pointer
from longtail.embeddings.versions import verify_version
from longtail.errors import InputError, LongtailError
from longtail.features.encoding import encode_table
from longtail.features.online_queries import OnlineQueries
from longtail.features.schema import Schema
from longtail.features.vocabulary import Vocabulary, load_vocabularies
from longtail.serving.neighbours import CatalogueIndex, load_index
from longtail.training.bundle import Encoder, load_encoder


@dataclass(frozen=True)
class _ServedModel:
    """Everything of one version that turns a query into items: always replaced together."""

    schema: Schema
    vocabularies: dict[str, Vocabulary]
    encoder: Encoder
    catalogue: CatalogueIndex


class Recommender:
    """Items for queries, by the served version; follows every publication without a restart."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._queries = OnlineQueries(config)
        self._loaded: _ServedModel | None = None

    def recommend(self, query: str, k: int = 10, *, exclude_seen: bool = False) -> dict[str, Any]:
        """The k items that fit a query best.

        Where queries and items share their ids, the query itself is left out.

        Args:
            query: the query's key; its features must be online.
            k: how many.
            exclude_seen: leave out the items that the query interacted with, up to the served
                version's day.

        Returns:
            `{"version", "query", "results": [{"item", "score"}]}`, best first.

        Raises:
            InputError: `k` is not positive, or the query is not a string.
            LongtailError: nothing is published, the version is damaged, or the query is unknown.
        """
        if not isinstance(query, str):
            raise InputError(f"query {query!r} is not a string")
        model = self._served()
        table = self._queries.read([query], model.schema.query)
        rows = encode_table(table, model.schema.query, model.vocabularies)
        vector = model.encoder.encode("query", rows)[0]
        exclude = {query} if model.schema.shared_ids else set()
        if exclude_seen:
            exclude |= self._seen(query, model.catalogue.version)
        results = model.catalogue.search(vector, k, exclude=exclude)
        return {"version": model.catalogue.version, "query": query, "results": results}

    def _served(self) -> _ServedModel:
        version = served_pointer(self._config).served.version
        loaded = self._loaded
        if loaded is None or loaded.catalogue.version != version:
            loaded = _load(self._config, version)
            self._loaded = loaded
        return loaded

    def _seen(self, query: str, version: str) -> set[str]:
        file = RunPaths(self._config, parse_version_day(version)).catalogue / "interactions.parquet"
        if not file.is_file():
            raise LongtailError(
                f"{file} does not exist, so the items that {query!r} has seen are not known: run "
                "`longtail run` for that day, or do not exclude them"
            )
        seen = pq.read_table(
            file, columns=["item_id"], filters=pyarrow.dataset.field("query_id") == query
        )
        return set(seen["item_id"].to_pylist())


def _load(config: Config, version: str) -> _ServedModel:
    paths = VersionPaths(config, version)
    vocabularies = paths.vocabularies.relative_to(paths.folder).as_posix() + "/"
    manifest = verify_version(config, version, files=[])
    verify_version(
        config,
        version,
        files=[
            *(paths.encoder.name, paths.config.name, paths.schema.name),
            *(name for name in manifest["files"] if name.startswith(vocabularies)),
        ],
    )
    encoder = load_encoder(paths.folder)
    return _ServedModel(
        schema=encoder.schema,
        vocabularies=load_vocabularies(paths.vocabularies),
        encoder=encoder,
        catalogue=load_index(config, version),
    )
