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
    linked: Collection[int] = (),
    knn: Sequence[Sequence[float]] = (),
    ease: Sequence[Sequence[float]] = (),
) -> dict[int, float]:
    """Return p(item | query) of each item that has one.

    Args:
        item_scores: inner product of the query with each item.
        query_scores: inner product of the query with each known query.
        items_of: the items of each known query.
        settings: the memory's numbers.
        itself: the query's own position among the known ones.
        hidden: items that must not be shown.
        linked: the items that the query is linked with.
        knn, ease: the weight of each item for each other.
    """
    shown = [item for item in range(len(item_scores)) if item not in hidden]
    first = sorted(shown, key=lambda item: (-item_scores[item], item))[: settings.num_candidates]
    total = sum(math.exp(item_scores[item] / settings.temperature) for item in first)

    voters = [query for query in range(len(query_scores)) if query != itself]
    voters.sort(key=lambda query: -query_scores[query])
    of_queries: dict[int, float] = {}
    for query in voters[: settings.num_neighbours]:
        for item in items_of[query]:
            if item not in hidden:
                vote = math.exp(query_scores[query] / settings.neighbour_temperature)
                of_queries[item] = of_queries.get(item, 0.0) + vote

    # Each voter's share of its own votes; one without any leaves its place to the others.
    queries_share = 1.0 - settings.knn_share - settings.ease_share
    voted = [
        (share, votes)
        for share, votes in (
            (queries_share, of_queries),
            (settings.knn_share, _item_votes(linked, knn, shown, settings.power)),
            (settings.ease_share, _item_votes(linked, ease, shown, settings.power)),
        )
        if share > 0.0 and votes
    ]
    votes: dict[int, float] = {}
    for share, own in voted:
        for item, vote in own.items():
            part = share / sum(each for each, _ in voted) * vote / sum(own.values())
            votes[item] = votes.get(item, 0.0) + part

    count = [sum(item in items for items in items_of) for item in range(len(item_scores))]
    linked_items = sorted(range(len(count)), key=lambda item: (-count[item], item))
    head = linked_items[: int(settings.head_fraction * len(count))]
    mixed, multiplied = {}, {}
    for item in {*first, *votes}:
        of_model = math.exp(item_scores[item] / settings.temperature) / total
        trust = settings.weight * count[item] / (count[item] + settings.prior_links)
        trust = trust if votes else 0.0
        mixed[item] = (1.0 - trust) * of_model + trust * votes.get(item, 0.0)
        factor = settings.tail_factor if count[item] else settings.cold_factor
        multiplied[item] = mixed[item] * (1.0 if item in head and count[item] else factor)
    scale = sum(mixed.values()) / sum(multiplied.values()) if mixed else 1.0
    return {item: value * scale for item, value in multiplied.items()}


def _item_votes(
    linked: Collection[int],
    weights: Sequence[Sequence[float]],
    shown: Collection[int],
    power: float,
) -> dict[int, float]:
    votes = {}
    for item in shown if len(weights) else ():
        vote = sum(weights[own][item] for own in linked)
        if vote > 0.0:
            votes[item] = vote**power
    return votes
