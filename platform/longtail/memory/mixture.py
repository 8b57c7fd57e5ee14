"""The mixture of the model's softmax over its first items and of the votes of known queries."""

import numpy as np
import numpy.typing as npt

from longtail.memory.settings import MemorySettings
from longtail.memory.votes import Entries, Float32Array, Int64Array


def mix(
    candidate: Int64Array,
    score: Float32Array,
    votes: Entries,
    voted_score: npt.NDArray[np.floating],
    num_links: npt.NDArray[np.int64],
    settings: MemorySettings,
) -> Entries:
    """Return p(item | query) of every candidate of the model and of every item with votes.

    p = (1 - w) p_model + w p_votes, with w = weight * n / (n + prior_links) of an item with n
    links. A row without votes is the model's alone.

    Args:
        candidate: `[B, M]` the model's first items of each row; -1 where there are fewer.
        score: `[B, M]` their inner products with the query.
        votes: of `count_votes`, without items that must not be shown.
        voted_score: `[n]` the inner product of each entry of `votes` with its query.
        num_links: `[num_items]` the links of each item among the known queries.
        settings: the memory's numbers.

    Returns:
        The values, row after row, in no order within a row. Those of a row sum to about one.
    """
    num_items = len(num_links)
    shown = candidate >= 0
    logits = np.where(shown, score.astype(np.float64) / settings.temperature, -np.inf)
    # The largest logit is taken out, so that no exponential is too large.
    largest = np.max(logits, axis=1, initial=-np.inf)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    total = np.maximum(np.exp(logits - largest[:, None]).sum(axis=1), np.finfo(np.float64).tiny)

    # The model's share, of its candidates and of the items with votes that are not among them.
    row, column = np.nonzero(shown)
    key = row * num_items + candidate[row, column]
    voted_key = votes.row * num_items + votes.item
    voted_logit = voted_score.astype(np.float64) / settings.temperature
    of_model = np.exp(logits[row, column] - largest[row]) / total[row]
    voted_of_model = np.exp(voted_logit - largest[votes.row]) / total[votes.row]

    # The votes' share. An item without links cannot have votes, so it keeps what the model says.
    all_votes = np.bincount(votes.row, votes.value, minlength=len(candidate))
    trust = settings.weight * num_links / (num_links + settings.prior_links)
    has_votes = all_votes > 0.0
    unvoted = ~np.isin(key, voted_key)
    row, key, of_model = row[unvoted], key[unvoted], of_model[unvoted]
    without = of_model * np.where(has_votes[row], 1.0 - trust[key % num_items], 1.0)
    share = votes.value / all_votes[votes.row]
    voted_trust = trust[votes.item]
    value = (1.0 - voted_trust) * voted_of_model + voted_trust * share

    rows = np.concatenate([row, votes.row])
    items = np.concatenate([key % num_items, votes.item])
    values = np.concatenate([without, value])
    # Both parts are sorted by row, so this merges them; sorting by value would take much longer.
    order = np.argsort(rows, kind="stable")
    return Entries(rows[order], items[order], values[order])


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
