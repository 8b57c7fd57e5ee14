"""Chooses a version's memory on the validation part, and measures it.

The memory of an evaluation holds training links alone: no held-out pair of any part is in it.
"""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from longtail.config import Config
from longtail.dataset.training_set import TrainingSet
from longtail.encoder.score_vectors import as_queries
from longtail.encoder.torch_encoder import Encoder
from longtail.evaluation.held_out import HeldOut, fewer_queries, held_out_pairs
from longtail.evaluation.metrics import Vectors, metrics_by_slice, score_batches
from longtail.evaluation.results import Memory, MemoryValidation, MetricsBySlice
from longtail.evaluation.slices import Slices, item_slices
from longtail.memory.mixture import mix, rank_in_rows
from longtail.memory.nearest_queries import make_query_index, nearest_queries
from longtail.memory.settings import MemorySettings
from longtail.memory.votes import Entries, Int64Array, QueryLinks, count_votes, group_links

log = logging.getLogger("longtail.evaluation")

# The grid. On a large catalogue few of a hundred neighbours agree, on a small one most do.
_WEIGHTS = (0.15, 0.3, 0.5, 0.7)
_NUM_NEIGHBOURS = (20, 100)
_NEIGHBOUR_TEMPERATURES = (0.03, 0.06)
PRIOR_LINKS = 1.0
NUM_QUERIES = 3_000
"""Validation queries that the settings are chosen on; of more, always the same choice."""


def measure_memory(
    config: Config,
    training_set: TrainingSet,
    encoder: Encoder,
    held_out: HeldOut,
    query_vectors: Vectors,
    item_vectors: Vectors,
    slices: Slices,
    *,
    temperature: float,
) -> Memory:
    """Choose the settings of a version's memory on the validation part, and measure the test part.

    Args:
        config: the sections `memory` and `evaluation` are read.
        training_set: the training set of the day.
        encoder: the version's.
        held_out: the pairs of the test part.
        query_vectors: `[Q, dim]` of its queries, with a 1 where items have a bias.
        item_vectors: `[C, dim]` of its candidates, with their biases if the version has any.
        slices: of its candidates.
        temperature: the temperature that the version was trained with.

    Returns:
        The settings, what they were chosen by, and the metrics of the test part. The settings are
        None, with the reason, where a memory is not wanted or finds nothing more.
    """
    if not config.memory.enabled:
        return {"settings": None, "reason": "`memory.enabled` is false"}
    known = known_queries(training_set, encoder, held_out.candidate, config)
    chosen = fewer_queries(training_set, NUM_QUERIES)
    questions = held_out_pairs(chosen, "validation")
    if not known.links.num_queries or not len(questions.pair_item):
        return {"settings": None, "reason": "there are no training links or no validation pairs"}
    start = MemorySettings(
        0.0, 1, 1.0, PRIOR_LINKS, temperature, min(config.memory.num_candidates, len(item_vectors))
    )
    grid = [start] + [
        replace(start, weight=weight, num_neighbours=number, neighbour_temperature=spread)
        for number, spread, weight in itertools.product(
            _NUM_NEIGHBOURS, _NEIGHBOUR_TEMPERATURES, _WEIGHTS
        )
    ]
    vectors = as_queries(
        encoder.encode("query", training_set.query_rows.take(questions.query_row)),
        item_vectors.shape[1],
    )
    own_slices = item_slices(
        training_set.train_count[questions.candidate], config.evaluation.head_fraction
    )
    batch = config.evaluation.query_batch_size
    tried = [
        metrics_by_slice(ranks, questions, own_slices)
        for ranks in memory_ranks(known, questions, vectors, item_vectors, grid, batch)
    ]
    best = best_setting(tried, config.memory.max_tail_loss)
    validation: MemoryValidation = {"model": tried[0], "memory": tried[best]}
    if best == 0:
        return {
            "settings": None,
            "reason": "no memory finds more on the validation part",
            "validation": validation,
        }
    (ranks,) = memory_ranks(known, held_out, query_vectors, item_vectors, [grid[best]], batch)
    metrics = metrics_by_slice(ranks, held_out, slices)
    log.info(
        "with a memory of %d queries: recall@50 %.4f overall, %.4f tail; map@50 %.4f",
        known.links.num_queries,
        metrics["overall"]["recall@50"],
        metrics["tail"]["recall@50"],
        metrics["overall"]["map@50"],
    )
    return {
        "settings": grid[best].to_json(),
        "reason": f"best of {len(grid) - 1} on the validation part",
        "validation": validation,
        "metrics": metrics,
    }


def best_setting(tried: Sequence[MetricsBySlice], max_tail_loss: float) -> int:
    """Return the position of the best of some settings, of which the first is the model alone.

    The best has the largest mean gain over recall@10, recall@50 and MAP@50, each relative to the
    model's, among those that lose at most a share of the model's recall@50 on tail and cold items.
    """
    alone = tried[0]

    def figures(metrics: MetricsBySlice) -> list[float]:
        overall = metrics["overall"]
        return [overall["recall@10"], overall["recall@50"], overall["map@50"]]

    def gain(metrics: MetricsBySlice) -> float:
        pairs = zip(figures(metrics), figures(alone), strict=True)
        ratios = [own / of_model for own, of_model in pairs if of_model > 0.0]
        return float(np.mean(ratios)) if ratios else 0.0

    allowed = [
        number
        for number, metrics in enumerate(tried)
        if metrics["tail"]["recall@50"] >= (1.0 - max_tail_loss) * alone["tail"]["recall@50"]
        and metrics["cold"]["recall@50"] >= (1.0 - max_tail_loss) * alone["cold"]["recall@50"]
    ]
    return max(allowed, key=lambda number: (gain(tried[number]), -number))


@dataclass(frozen=True)
class KnownQueries:
    """The queries with training links, and what an evaluation needs of them.

    Attributes:
        query: `[K]` position in `TrainingSet.query_ids`, ascending.
        links: their training items, as candidates.
        num_links: `[C]` the known queries that are linked with each candidate.
        index: finds the nearest of them; `nearest_queries.make_query_index`.
    """

    query: Int64Array
    links: QueryLinks
    num_links: Int64Array
    index: Any


def known_queries(
    training_set: TrainingSet, encoder: Encoder, candidate: Int64Array, config: Config
) -> KnownQueries:
    """Collect the queries of the training part and index their vectors.

    Args:
        training_set: the training set of the day.
        encoder: the version's.
        candidate: `[C]` position of each candidate in `TrainingSet.item_ids`.
        config: the section `memory` is read.
    """
    s = training_set
    candidate_of_item = np.full(len(s.item_ids), -1, np.int64)
    candidate_of_item[candidate] = np.arange(len(candidate))
    row = np.asarray(s.train.query_row, np.int64)
    query = np.asarray(s.query_of_row[row], np.int64)
    item = candidate_of_item[s.item_of_row[s.train.item_row]]
    known, links = group_links(
        query, item, num_items=len(candidate), max_queries=config.memory.max_queries
    )
    # A query's features as of the day; those of one of its links where the day has none.
    any_row = np.zeros(len(s.query_ids), np.int64)
    any_row[query] = row
    latest = np.asarray(s.latest_query_row[known], np.int64)
    rows = np.where(latest >= 0, latest, any_row[known])
    index = None
    if len(known):
        vectors = encoder.encode("query", s.query_rows.take(rows))
        # Exact, whatever is served: halves of numbers change a similarity by a thousandth.
        index = make_query_index(vectors, "fp32")
    num_links = np.bincount(links.items, minlength=len(candidate))
    return KnownQueries(known, links, num_links, index)


def memory_ranks(
    known: KnownQueries,
    held_out: HeldOut,
    query_vectors: Vectors,
    item_vectors: Vectors,
    settings: Sequence[MemorySettings],
    query_batch_size: int,
) -> list[Int64Array]:
    """Rank every held-out item by the mixture of model and memory, for each of some settings.

    An item that is neither among the model's first candidates nor has a vote has the last rank.

    Args:
        known: the queries that vote.
        held_out: the pairs, and the items that a query is not shown.
        query_vectors: `[Q, dim]`.
        item_vectors: `[C, dim]`.
        settings: all with the same number of candidates.
        query_batch_size: queries scored at a time.

    Returns:
        `[P]` ranks from 1 for each of the settings.
    """
    import torch

    num_items = held_out.num_candidates
    ranks = [np.full(len(held_out.pair_item), num_items, np.int64) for _ in settings]
    most = max(each.num_neighbours for each in settings)
    place = np.searchsorted(known.query, held_out.query)
    place = np.minimum(place, max(len(known.query) - 1, 0))
    itself = np.where(known.query[place] == held_out.query, place, -1)
    excluded_query = np.repeat(np.arange(held_out.num_queries), np.diff(held_out.excluded_offsets))
    excluded = excluded_query * num_items + held_out.excluded_item
    for first, scores in score_batches(query_vectors, item_vectors, held_out, query_batch_size):
        last = first + len(scores)
        # The model's first items, and the known queries that vote; both serve all settings.
        found = torch.from_numpy(scores).topk(settings[0].num_candidates, dim=1)
        score = found.values.numpy()
        candidate = np.where(np.isfinite(score), found.indices.numpy(), -1)
        similarity, neighbour = nearest_queries(
            known.index, query_vectors[first:last, : known.index.d], most, itself[first:last]
        )
        hidden = excluded[slice(*np.searchsorted(excluded_query, (first, last)))]
        pairs = slice(*np.searchsorted(held_out.pair_query, (first, last)))
        asked_row = held_out.pair_query[pairs] - first
        for each, of_setting in zip(settings, ranks, strict=True):
            votes = count_votes(
                similarity[:, : each.num_neighbours],
                neighbour[:, : each.num_neighbours],
                known.links,
                num_items=num_items,
                temperature=each.neighbour_temperature,
            )
            votes = _without(votes, hidden - first * num_items, num_items)
            voted = scores[votes.row, votes.item]
            mixed = mix(candidate, score, votes, voted, known.num_links, each)
            of_setting[pairs] = rank_in_rows(
                mixed, asked_row, held_out.pair_item[pairs], absent=num_items
            )
    return ranks


def _without(votes: Entries, hidden: Int64Array, num_items: int) -> Entries:
    """Leave out the votes for items that a query is not shown."""
    shown = ~np.isin(votes.row * num_items + votes.item, hidden)
    return Entries(votes.row[shown], votes.item[shown], votes.value[shown])
