"""The mixture of model and memory in plain Python, one query at a time."""

import math
from collections.abc import Collection, Sequence

from longtail.memory.settings import MemorySettings


def probabilities(
    item_scores: Sequence[float],
    query_scores: Sequence[float],
    items_of: Sequence[Collection[int]],
    settings: MemorySettings,
    *,
    itself: int | None = None,
    hidden: Collection[int] = (),
) -> dict[int, float]:
    """Return p(item | query) of each item that has one.

    Args:
        item_scores: inner product of the query with each item.
        query_scores: inner product of the query with each known query.
        items_of: the items of each known query.
        settings: the memory's numbers.
        itself: the query's own position among the known ones.
        hidden: items that must not be shown.
    """
    shown = [item for item in range(len(item_scores)) if item not in hidden]
    first = sorted(shown, key=lambda item: (-item_scores[item], item))[: settings.num_candidates]
    total = sum(math.exp(item_scores[item] / settings.temperature) for item in first)

    voters = [query for query in range(len(query_scores)) if query != itself]
    voters.sort(key=lambda query: -query_scores[query])
    votes: dict[int, float] = {}
    for query in voters[: settings.num_neighbours]:
        for item in items_of[query]:
            if item not in hidden:
                vote = math.exp(query_scores[query] / settings.neighbour_temperature)
                votes[item] = votes.get(item, 0.0) + vote
    all_votes = sum(votes.values())

    mixed = {}
    for item in {*first, *votes}:
        of_model = math.exp(item_scores[item] / settings.temperature) / total
        num_links = sum(item in items for items in items_of)
        trust = settings.weight * num_links / (num_links + settings.prior_links) if votes else 0.0
        share = votes.get(item, 0.0) / all_votes if votes else 0.0
        mixed[item] = (1.0 - trust) * of_model + trust * share
    return mixed
