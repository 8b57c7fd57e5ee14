"""Recommendation: encode a query's features by the query tower, and find the nearest items."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from longtail.artifacts import RunPaths, VersionPaths, parse_version_day
from longtail.config import Config
from longtail.embeddings.seen_items import read_seen_items
from longtail.errors import InputError
from longtail.features.feast.online_query_features import OnlineQueries
from longtail.features.history_feature import HISTORY
from longtail.serving.encoders import VersionEncoder, load_version_encoder
from longtail.serving.feature_rows import Rows, check_names, given_histories
from longtail.serving.item_keys import check_keys
from longtail.serving.query_search import QuerySearch, load_query_search
from longtail.serving.results import (
    RankedItems,
    RankedItemsByKey,
    RankedItemsByRow,
    RankedSession,
)
from longtail.serving.served_version import Following


@dataclass(frozen=True)
class Snapshot:
    """The parts of one version that turn a query into items; always replaced together.

    Attributes:
        encoder: encodes queries and items.
        items: finds the items of a query.
    """

    encoder: VersionEncoder
    items: QuerySearch

    @property
    def version(self) -> str:
        """The version's name."""
        return self.encoder.version

    def unknown_items(self, items: Sequence[str]) -> list[str]:
        """Return the distinct items that a history of this version says nothing by."""
        history = self.encoder.schema.history
        assert history is not None, "the version has histories"
        vocabulary = self.encoder.vocabularies[history.table]
        # A hashed vocabulary has a row for any id: what it knows is what the catalogue has.
        find = vocabulary.row_of if vocabulary.buckets is None else self.items.catalogue.rows.find
        return [item for item in dict.fromkeys(items) if find(item) < 0]


def load_snapshot(config: Config, version: str) -> Snapshot:
    """Load the encoder, the index and the memory of one committed version.

    Raises:
        LongtailError: a file is missing or damaged.
    """
    return Snapshot(load_version_encoder(config, version), load_query_search(config, version))


class Recommender:
    """The recommender of items by the served version; follows publications without a restart.

    A call uses one version from beginning to end, even if another one is published meanwhile. Safe
    to use from many threads. `exclude` and `allowed` take item ids, as for `Neighbours`.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._queries = OnlineQueries(config)
        self._following = Following(config, load_snapshot)

    def recommend(
        self,
        query: str,
        k: int = 10,
        *,
        exclude_seen: bool = False,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
    ) -> RankedItems:
        """Return the k items that fit a query best.

        If queries and items share their ids, the query itself is left out.

        Args:
            query: the query's key; its features must be online.
            k: how many items.
            exclude_seen: leave out the items that the query interacted with up to the served
                version's day.
            exclude: item ids that must not come back.
            allowed: only these item ids may come back; None for all.

        Returns:
            `{"version", "query", "results": [{"item", "score"}]}`, best first.

        Raises:
            InputError: `k` is not positive, or the query is not a string.
            LongtailError: nothing is published, the version is damaged, or the query is unknown; or
                seen items are to be left out, and the version does not have them.
        """
        answer = self.recommend_many(
            [query], k, exclude_seen=exclude_seen, exclude=exclude, allowed=allowed
        )
        return {"version": answer["version"], "query": query, "results": answer["results"][query]}

    def recommend_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        exclude_seen: bool = False,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
    ) -> RankedItemsByKey:
        """Return the k items that fit each of several queries best.

        The features of all queries are read at once. See `recommend` for arguments and errors.

        Returns:
            `{"version", "results": {query: [{"item", "score"}]}}`, best first.
        """
        check_keys(queries, "query")
        snapshot = self._following.current()
        schema = snapshot.encoder.schema
        table = self._queries.read(queries, schema.query)
        vectors = snapshot.encoder.encode("query", table).vectors
        # Each query has its own hidden items, so each is searched for by itself.
        hidden: list[set[str]] = [{query} if schema.shared_ids else set() for query in queries]
        if exclude_seen:
            seen = read_seen_items(self._seen_items(snapshot.version), queries)
            hidden = [own | seen[query] for own, query in zip(hidden, queries, strict=True)]
        found = snapshot.items.search(
            vectors,
            k,
            exclude=[own | set(exclude) for own in hidden],
            allowed=allowed,
            queries=queries,
        )
        results = dict(zip(queries, found, strict=True))
        return {"version": snapshot.version, "results": results}

    def recommend_to(
        self,
        rows: Rows,
        k: int = 10,
        *,
        exclude_history: bool = True,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
    ) -> RankedItemsByRow:
        """Return the k items that fit each query best; the queries are given by feature values.

        Use it for queries that the online store does not know, or has other values of. With a
        version that has histories, a stranger's session is `{"history": ["a", "b"]}`.

        Args:
            rows: feature values, as for `QueryEncoder.encode`.
            k: how many items.
            exclude_history: leave the items of a row's own `history` out of its answer.
            exclude: item ids that must not come back.
            allowed: only these item ids may come back; None for all.

        Returns:
            `{"version", "results": [[{"item", "score"}]]}`: one list for each row, best first.
        """
        return self._recommend_to(
            self._following.current(), rows, k, exclude_history, exclude, allowed
        )

    def recommend_session(
        self,
        history: Sequence[str],
        k: int = 10,
        *,
        exclude_history: bool = True,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
    ) -> RankedSession:
        """Return the k items that fit a session best: a stranger with nothing but a history.

        It is `recommend_to({"history": history})` without the items that the version does not know,
        and says which they are.

        Args:
            history: item ids, the newest first; at least one.
            k: how many items.
            exclude_history: leave the items of the history out of the answer.
            exclude: item ids that must not come back.
            allowed: only these item ids may come back; None for all.

        Returns:
            `{"version", "history", "unknown", "results": [{"item", "score"}]}`, best first.

        Raises:
            InputError: the version has no histories, or knows none of the items; or as `recommend`.
        """
        check_keys(history, "item")
        snapshot = self._following.current()
        check_names([HISTORY], snapshot.encoder.schema.query)
        unknown = snapshot.unknown_items(history)
        if len(unknown) == len(set(history)):
            raise InputError(
                f"version {snapshot.version} knows none of the items {', '.join(unknown)}: check "
                "their ids; a new item comes with the next `longtail run`"
            )
        # Items that say nothing must not take the places of others.
        rows = {HISTORY: [item for item in history if item not in unknown]}
        answer = self._recommend_to(snapshot, rows, k, exclude_history, exclude, allowed)
        return {
            "version": snapshot.version,
            "history": list(history),
            "unknown": unknown,
            "results": answer["results"][0],
        }

    def _recommend_to(
        self,
        snapshot: Snapshot,
        rows: Rows,
        k: int,
        exclude_history: bool,
        exclude: Collection[str],
        allowed: Collection[str] | None,
    ) -> RankedItemsByRow:
        vectors = snapshot.encoder.encode("query", rows).vectors
        hidden = [exclude] * len(vectors)
        # A wrong `exclude` goes on to the search, which refuses it.
        listed = isinstance(exclude, Collection) and not isinstance(exclude, str)
        linked = None
        if snapshot.encoder.schema.history is not None:
            own = given_histories(rows, len(vectors))
            # The items of a session vote in the memory, as the links of a known query do.
            linked = [snapshot.items.catalogue.known_rows(items) for items in own]
            if exclude_history and listed:
                hidden = [[*exclude, *items] for items in own]
        strangers = [None] * len(vectors)
        results = snapshot.items.search(
            vectors, k, exclude=hidden, allowed=allowed, queries=strangers, linked=linked
        )
        return {"version": snapshot.version, "results": results}

    def similar_to(
        self,
        rows: Rows,
        k: int = 10,
        *,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
    ) -> RankedItemsByRow:
        """Return the k catalogue items nearest to each new item, given by its feature values.

        Args:
            rows: feature values, as for `ItemEncoder.encode`.
            k: how many items.
            exclude: item ids that must not come back.
            allowed: only these item ids may come back; None for all.

        Returns:
            `{"version", "results": [[{"item", "score"}]]}`: one list for each row, best first.
        """
        snapshot = self._following.current()
        vectors = snapshot.encoder.encode("item", rows).vectors
        catalogue = snapshot.items.catalogue
        results = catalogue.search(vectors, k, exclude=exclude, allowed=allowed)
        return {"version": snapshot.version, "results": results}

    def _seen_items(self, version: str) -> Path:
        """Return the file with the items that queries have seen.

        A version of an older release does not hold them. Its day's run does, while it is kept.
        """
        own = VersionPaths(self._config, version).seen_items
        of_day = RunPaths(self._config, parse_version_day(version)).catalogue_files.interactions
        return of_day if not own.is_file() and of_day.is_file() else own
