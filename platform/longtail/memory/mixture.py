"""The mixture of the model's softmax over its first items and of the votes of the memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from longtail.memory.settings import MemorySettings
from longtail.memory.votes import Entries, Float32Array, Float64Array, Int64Array


@dataclass(frozen=True)
class Parts:
    """What is mixed: the model's probability and each voter's, for the items of B rows.

    Attributes:
        row: `[n]` ascending.
        item: `[n]` ascending within a row, each once.
        of_model: `[n]` the model's softmax.
        of_voter: `[V, n]` each voter's share of votes; those of a row sum to one or to none.
        has_votes: `[V, B]` whether a voter has a vote for any item of the row.
    """

    row: Int64Array
    item: Int64Array
    of_model: Float64Array
    of_voter: Float64Array
    has_votes: npt.NDArray[np.bool_]


def items_to_mix(
    candidate: Int64Array, votes: Sequence[Entries], num_items: int
) -> tuple[Int64Array, Int64Array]:
    """Return the row and item, `[n]` each, of every candidate and every item with a vote, sorted.

    Args:
        candidate: `[B, M]` the model's first items of each row; -1 where there are fewer.
        votes: of each voter, without items that must not be shown.
        num_items: the number of all items.
    """
    row, column = np.nonzero(candidate >= 0)
    keys = [row * num_items + candidate[row, column]]
    keys += [each.row * num_items + each.item for each in votes]
    rows, items = np.divmod(np.unique(np.concatenate(keys)), num_items)
    return rows, items


def join(
    row: Int64Array,
    item: Int64Array,
    score: npt.NDArray[np.floating],
    candidate_score: Float32Array,
    votes: Sequence[Entries],
    *,
    num_items: int,
    temperature: float,
) -> Parts:
    """Put the model's softmax and the votes side by side.

    Args:
        row, item: of `items_to_mix`.
        score: `[n]` the inner product of each with its query.
        candidate_score: `[B, M]` inner products of the model's first items, which the softmax is
            over; -inf where there are fewer.
        votes: of each voter, without items that must not be shown.
        num_items: the number of all items.
        temperature: inner products are divided by it.
    """
    logits = candidate_score.astype(np.float64) / temperature
    # The largest logit is taken out, so that no exponential is too large.
    largest = np.max(logits, axis=1, initial=-np.inf)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    total = np.maximum(np.exp(logits - largest[:, None]).sum(axis=1), np.finfo(np.float64).tiny)
    of_model = np.exp(score.astype(np.float64) / temperature - largest[row]) / total[row]

    key = row * num_items + item
    of_voter = np.zeros((len(votes), len(row)))
    has_votes = np.zeros((len(votes), len(candidate_score)), np.bool_)
    for number, each in enumerate(votes):
        all_votes = np.bincount(each.row, each.value, minlength=len(candidate_score))
        has_votes[number] = all_votes > 0.0
        place = np.searchsorted(key, each.row * num_items + each.item)
        of_voter[number, place] = each.value / all_votes[each.row]
    return Parts(row, item, of_model, of_voter, has_votes)


def mix(
    parts: Parts,
    num_links: Int64Array,
    head: npt.NDArray[np.bool_],
    shares: Sequence[float],
    settings: MemorySettings,
) -> Entries:
    """Return p(item | query) of every item of the parts.

    p = f ((1 - w) p_model + w p_votes), scaled to the sum that it has with f = 1. The weight of an
    item with n links is w = weight * n / (n + prior_links); f is the factor of its slice.
    p_votes is the mean of the voters that have a vote in the row. Without any, w is 0.

    Args:
        parts: of `join`.
        num_links: `[num_items]` the links of each item among the known queries.
        head: `[num_items]` of `voters.head_items`.
        shares: `[V]` the share of each voter in the mean.
        settings: the memory's numbers.
    """
    row, links = parts.row, num_links[parts.item]
    # A voter that says nothing about a row leaves its share to the others.
    share = np.asarray(shares, np.float64)[:, None] * parts.has_votes
    all_shares = share.sum(axis=0)
    share = np.divide(share, all_shares, out=np.zeros_like(share), where=all_shares > 0.0)
    # An item without links cannot have votes, so it keeps what the model says.
    trust = settings.weight * links / (links + settings.prior_links)
    trust = np.where(all_shares[row] > 0.0, trust, 0.0)
    value = (1.0 - trust) * parts.of_model
    for own, votes in zip(share, parts.of_voter, strict=True):
        value += trust * own[row] * votes
    if settings.tail_factor != 1.0 or settings.cold_factor != 1.0:
        num_rows = parts.has_votes.shape[1]
        before = np.bincount(row, value, minlength=num_rows)
        of_seldom = np.where(links > 0, settings.tail_factor, settings.cold_factor)
        value *= np.where(head[parts.item], 1.0, of_seldom)
        after = np.bincount(row, value, minlength=num_rows)
        value *= np.divide(before, after, out=np.ones(num_rows), where=after > 0.0)[row]
    return Entries(row, parts.item, value)


def best_first(mixed: Entries) -> Entries:
    """Return the entries of `mix` with each row's largest value first, among equals the lower item.

    For the few rows of a request; `rank_in_rows` needs no order.
    """
    order = np.lexsort((mixed.item, -mixed.value, mixed.row))
    return Entries(mixed.row[order], mixed.item[order], mixed.value[order])


def rank_in_rows(mixed: Entries, row: Int64Array, item: Int64Array, *, absent: int) -> Int64Array:
    """Return the place of items in their rows of `mix`, 1 the first.

    Args:
        mixed: the entries of all rows.
        row: `[P]` the row of each asked item.
        item: `[P]` the item.
        absent: the rank of an item that its row does not have.

    Returns:
        `[P]` ranks: one more than the number of items in the row with a larger value, or with an
        equal one and a lower position.
    """
    ranks = np.full(len(row), absent, np.int64)
    first, last = (np.searchsorted(mixed.row, row, side=side) for side in ("left", "right"))
    for pair, (start, end, wanted) in enumerate(zip(first, last, item, strict=True)):
        items, values = mixed.item[start:end], mixed.value[start:end]
        place = np.flatnonzero(items == wanted)
        if len(place):
            own = values[place[0]]
            before = np.count_nonzero(values > own)
            ranks[pair] = 1 + before + np.count_nonzero((values == own) & (items < wanted))
    return ranks
