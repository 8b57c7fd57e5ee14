"""The voters of a memory, and the votes of each."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from longtail.memory.item_votes import count_item_votes
from longtail.memory.item_weights import Kind
from longtail.memory.settings import MemorySettings
from longtail.memory.votes import Entries, Float32Array, Int64Array, QueryLinks, count_votes


class Voter(NamedTuple):
    """Who votes, and how.

    Attributes:
        kind: the kind of the weights from item to item; None: the nearest known queries vote.
        num_neighbours: how many queries vote; 0 for items.
        spread: the temperature of queries, or the power of items.
    """

    kind: Kind | None
    num_neighbours: int
    spread: float


def voters_of(settings: MemorySettings) -> dict[Voter, float]:
    """Return the voters of some settings that have a share, and the share of each."""
    queries, knn, ease = settings.shares
    shares = {
        Voter(None, settings.num_neighbours, settings.neighbour_temperature): queries,
        Voter("knn", 0, settings.power): knn,
        Voter("ease", 0, settings.power): ease,
    }
    return {voter: share for voter, share in shares.items() if share > 0.0}


def votes_of(
    voter: Voter,
    nearest: tuple[Float32Array, Int64Array],
    links: QueryLinks,
    linked: QueryLinks,
    weights: Mapping[Kind, sparse.csr_array],
    num_items: int,
) -> Entries:
    """Count the votes of one voter for the items of B rows.

    Args:
        voter: who votes.
        nearest: `[B, k]` similarities and positions of the nearest known queries, best first.
        links: the items of the known queries.
        linked: the items that each of the B rows is linked with.
        weights: the weights from item to item of each kind that votes.
        num_items: the number of items.
    """
    if voter.kind is not None:
        return count_item_votes(linked, weights[voter.kind], power=voter.spread)
    similarity, neighbour = nearest
    return count_votes(
        similarity[:, : voter.num_neighbours],
        neighbour[:, : voter.num_neighbours],
        links,
        num_items=num_items,
        temperature=voter.spread,
    )


def head_items(num_links: Int64Array, head_fraction: float) -> npt.NDArray[np.bool_]:
    """Return whether each item, `[C]`, is one of the `head_fraction` with the most links.

    Ties go to the lower position. An item without links is none.
    """
    head = np.zeros(len(num_links), np.bool_)
    order = np.argsort(-num_links, kind="stable")
    head[order[: int(head_fraction * len(num_links))]] = True
    return head & (num_links > 0)
