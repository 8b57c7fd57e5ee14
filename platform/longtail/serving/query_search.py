"""The search for a query's items: by the index of a version, and by its memory if it has one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from longtail.artifacts import VersionPaths
from longtail.config import Config
from longtail.embeddings.query_memory import QueryMemory, read_query_memory
from longtail.embeddings.results import ScoredItem
from longtail.embeddings.versions import read_manifest, verify_version
from longtail.memory.item_votes import links_of
from longtail.memory.mixture import best_first, items_to_mix, join, mix
from longtail.memory.nearest_queries import nearest_queries
from longtail.memory.voters import head_items, voters_of, votes_of
from longtail.memory.votes import Entries, Int64Array, QueryLinks
from longtail.serving.catalogue_index import CatalogueIndex, load_index
from longtail.serving.served_version import Shared
from longtail.serving.vocabulary_rows import SortedValues

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Memory:
    """The memory of a version, ready for searches.

    Attributes:
        known: the known queries and their items.
        num_links: `[num_items]` the known queries that are linked with each item.
        rows: finds the row of a known query.
        head: `[num_items]` of `voters.head_items`.
    """

    known: QueryMemory
    num_links: npt.NDArray[np.int64]
    rows: SortedValues
    head: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class QuerySearch:
    """The search of one version.

    Attributes:
        catalogue: the index of the items.
        memory: the known queries; None for a version without a memory.
    """

    catalogue: CatalogueIndex
    memory: Memory | None

    def search(
        self,
        vectors: Float32Array,
        k: int,
        *,
        exclude: Sequence[Collection[str]],
        allowed: Collection[str] | None,
        queries: Sequence[str | None],
        linked: Sequence[Int64Array | None] | None = None,
    ) -> list[list[ScoredItem]]:
        """Return the k items that fit each query best.

        Args:
            vectors: `[n, dim]`, of the query tower.
            k: how many items; fewer come back if the filters leave fewer.
            exclude: for each query the item ids that must not come back.
            allowed: only these item ids may come back; None for all.
            queries: the id of each query, so that it does not vote for itself; None for a stranger.
            linked: for each query the rows of the items that it is linked with, which vote, too;
                None for those that the memory knows of it, which are none of a stranger.

        Returns:
            n lists of `{"item": str, "score": float}`, best first. The score is p(item | query) of
            a version with a memory, else an inner product, and the item's bias if it has one.

        Raises:
            InputError, LongtailError: as `CatalogueIndex.nearest`.
        """
        memory = self.memory
        if memory is None:
            return [
                self.catalogue.search(
                    vector[None], k, exclude=hidden, allowed=allowed, with_bias=True
                )[0]
                for vector, hidden in zip(vectors, exclude, strict=True)
            ]
        known = memory.known
        settings = replace(known.settings, num_candidates=max(k, known.settings.num_candidates))
        found = [
            self.catalogue.nearest(
                vector[None],
                settings.num_candidates,
                exclude=hidden,
                allowed=allowed,
                with_bias=True,
            )[0]
            for vector, hidden in zip(vectors, exclude, strict=True)
        ]
        itself = np.array([-1 if q is None else memory.rows.find(q) for q in queries], np.int64)
        similarity, neighbour = nearest_queries(
            known.index, vectors, settings.num_neighbours, itself
        )
        given = linked if linked is not None else [None] * len(queries)
        share_of = voters_of(settings)
        num_items = len(memory.num_links)
        results = []
        # Each query has its own hidden items, so each is mixed by itself.
        for number, (rows, scores) in enumerate(found):
            own = slice(number, number + 1)
            votes = [
                self._shown(
                    votes_of(
                        voter,
                        (similarity[own], neighbour[own]),
                        known.links,
                        _linked(given[number], known.links, itself[own]),
                        known.weights,
                        num_items,
                    ),
                    exclude[number],
                    allowed,
                )
                for voter in share_of
            ]
            row, item = items_to_mix(rows[None], votes, num_items)
            parts = join(
                row,
                item,
                self.catalogue.scores_of(vectors[number], item),
                scores[None],
                votes,
                num_items=num_items,
                temperature=settings.temperature,
            )
            mixed = best_first(
                mix(parts, memory.num_links, memory.head, list(share_of.values()), settings)
            )
            results.append(self.catalogue.named(mixed.item[:k], mixed.value[:k]))
        return results

    def _shown(
        self, votes: Entries, exclude: Collection[str], allowed: Collection[str] | None
    ) -> Entries:
        """Leave out the votes for items that the filters hide."""
        shown = self.catalogue.shown_rows(votes.item, exclude, allowed)
        return Entries(votes.row[shown], votes.item[shown], votes.value[shown])


def _linked(given: Int64Array | None, links: QueryLinks, itself: Int64Array) -> QueryLinks:
    """Return the items that one query is linked with: those given, or those that are known."""
    if given is None:
        return links_of(links, itself)
    items = np.unique(given).astype(np.int32)
    return QueryLinks(np.array([0, len(items)], np.int64), items)


def _load(config: Config, version: str) -> QuerySearch:
    paths = VersionPaths(config, version)
    catalogue = load_index(config, version)
    names = [paths.query_memory.name, paths.query_index.name, paths.item_weights.name]
    files = read_manifest(config, version)["files"]
    if names[0] not in files:
        return QuerySearch(catalogue, None)
    verify_version(config, version, files=[name for name in names if name in files])
    num_items = len(catalogue.items)
    known = read_query_memory(paths, num_items)
    num_links = np.bincount(known.links.items, minlength=num_items)
    head = head_items(num_links, known.settings.head_fraction)
    return QuerySearch(catalogue, Memory(known, num_links, SortedValues(known.queries), head))


load_query_search = Shared(_load)
"""Load the search of a committed version, after comparing its files with the manifest.

Raises:
    LongtailError: a file is missing or damaged, or the files do not fit together.
"""
