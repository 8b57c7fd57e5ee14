"""Chooses a version's memory on the validation part, and measures it.

The memory of an evaluation holds training links alone: no held-out pair of any part is in it.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from longtail.config import Config
from longtail.dataset.training_set import TrainingSet
from longtail.encoder.score_vectors import as_queries
from longtail.encoder.torch_encoder import Encoder
from longtail.evaluation.held_out import HeldOut, fewer_queries, held_out_pairs
from longtail.evaluation.memory.choice import NEIGHBOURS, best_setting, choose_settings
from longtail.evaluation.metrics import Vectors, metrics_by_slice, score_batches
from longtail.evaluation.results import Memory, MemoryValidation, MetricsBySlice
from longtail.evaluation.slices import Slices, item_slices
from longtail.memory.item_votes import links_of
from longtail.memory.item_weights import KINDS, Kind, all_item_weights
from longtail.memory.mixture import Parts, items_to_mix, join, mix, rank_in_rows
from longtail.memory.nearest_queries import make_query_index, nearest_queries
from longtail.memory.settings import MemorySettings
from longtail.memory.voters import Voter, head_items, voters_of, votes_of
from longtail.memory.votes import Entries, Int64Array, QueryLinks, group_links

log = logging.getLogger("longtail.evaluation")

PRIOR_LINKS = 1.0
POWER = 2.0
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
    began, processor_began = time.monotonic(), time.process_time()
    known = known_queries(training_set, encoder, held_out.candidate, config)
    chosen = fewer_queries(training_set, NUM_QUERIES)
    questions = held_out_pairs(chosen, "validation")
    if not known.links.num_queries or not len(questions.pair_item):
        return {"settings": None, "reason": "there are no training links or no validation pairs"}
    start = MemorySettings(
        weight=0.0,
        num_neighbours=NEIGHBOURS[0][0],
        neighbour_temperature=NEIGHBOURS[0][1],
        prior_links=PRIOR_LINKS,
        temperature=temperature,
        num_candidates=min(config.memory.num_candidates, len(item_vectors)),
        power=POWER,
        head_fraction=config.evaluation.head_fraction,
    )
    vectors = as_queries(
        encoder.encode("query", training_set.query_rows.take(questions.query_row)),
        item_vectors.shape[1],
    )
    own_slices = item_slices(
        training_set.train_count[questions.candidate], config.evaluation.head_fraction
    )
    batch = config.evaluation.query_batch_size
    # All voters that may get a share vote once; settings only mix what they have said.
    voters = [Voter(None, number, spread) for number, spread in NEIGHBOURS]
    voters += [Voter(kind, 0, POWER) for kind in known.weights]
    parts = list(memory_parts(known, questions, vectors, item_vectors, start, voters, batch))

    def measure(settings: MemorySettings) -> MetricsBySlice:
        ranks = mixed_ranks(known, questions, parts, voters, settings)
        return metrics_by_slice(ranks, questions, own_slices)

    tried = choose_settings(
        start, measure, config.memory.max_tail_loss, with_ease="ease" in known.weights
    )
    best = best_setting([metrics for _, metrics in tried], config.memory.max_tail_loss)
    chosen_settings, of_memory = tried[best]
    log.info(
        "the memory is chosen of %d settings on %d queries in %.1f s, processor %.1f s",
        len(tried) - 1,
        questions.num_queries,
        time.monotonic() - began,
        time.process_time() - processor_began,
    )
    validation: MemoryValidation = {"model": tried[0][1], "memory": of_memory}
    if best == 0:
        return {
            "settings": None,
            "reason": "no memory finds more on the validation part",
            "validation": validation,
        }
    ranks = memory_ranks(known, held_out, query_vectors, item_vectors, chosen_settings, batch)
    metrics = metrics_by_slice(ranks, held_out, slices)
    log.info(
        "with a memory of %d queries: recall@50 %.4f overall, %.4f tail; map@50 %.4f",
        known.links.num_queries,
        metrics["overall"]["recall@50"],
        metrics["tail"]["recall@50"],
        metrics["overall"]["map@50"],
    )
    return {
        "settings": chosen_settings.to_json(),
        "reason": f"best of {len(tried) - 1} on the validation part",
        "validation": validation,
        "metrics": metrics,
    }


@dataclass(frozen=True)
class KnownQueries:
    """The queries with training links, and what an evaluation needs of them.

    Attributes:
        query: `[K]` position in `TrainingSet.query_ids`, ascending.
        links: their training items, as candidates.
        num_links: `[C]` the known queries that are linked with each candidate.
        index: finds the nearest of them; `nearest_queries.make_query_index`.
        weights: the weights from item to item of each kind that may vote.
        head: `[C]` of `voters.head_items`.
    """

    query: Int64Array
    links: QueryLinks
    num_links: Int64Array
    index: Any
    weights: Mapping[Kind, sparse.csr_array]
    head: npt.NDArray[np.bool_]


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
    weights = all_item_weights(links, KINDS, len(candidate), config.memory)
    head = head_items(num_links, config.evaluation.head_fraction)
    return KnownQueries(known, links, num_links, index, weights, head)


def memory_ranks(
    known: KnownQueries,
    held_out: HeldOut,
    query_vectors: Vectors,
    item_vectors: Vectors,
    settings: MemorySettings,
    query_batch_size: int,
) -> Int64Array:
    """Rank every held-out item by the mixture of model and memory.

    An item that is neither among the model's first candidates nor has a vote has the last rank.

    Args:
        known: who votes.
        held_out: the pairs, and the items that a query is not shown.
        query_vectors: `[Q, dim]`.
        item_vectors: `[C, dim]`.
        settings: the memory's numbers.
        query_batch_size: queries scored at a time.

    Returns:
        `[P]` ranks from 1.
    """
    voters = list(voters_of(settings))
    parts = memory_parts(
        known, held_out, query_vectors, item_vectors, settings, voters, query_batch_size
    )
    return mixed_ranks(known, held_out, parts, voters, settings)


def memory_parts(
    known: KnownQueries,
    held_out: HeldOut,
    query_vectors: Vectors,
    item_vectors: Vectors,
    settings: MemorySettings,
    voters: Sequence[Voter],
    query_batch_size: int,
) -> Iterator[tuple[int, Parts]]:
    """Yield what is mixed, for one batch of queries after the other.

    Args:
        known, held_out, query_vectors, item_vectors, query_batch_size: as for `memory_ranks`.
        settings: `temperature` and `num_candidates` are read.
        voters: who votes.

    Yields:
        The position of the batch's first query, and the parts of its rows.
    """
    import torch

    num_items = held_out.num_candidates
    most = max(voter.num_neighbours for voter in voters)
    place = np.searchsorted(known.query, held_out.query)
    place = np.minimum(place, max(len(known.query) - 1, 0))
    itself = np.where(known.query[place] == held_out.query, place, -1)
    for first, scores in score_batches(query_vectors, item_vectors, held_out, query_batch_size):
        batch = slice(first, first + len(scores))
        # The model's first items.
        found = torch.from_numpy(scores).topk(settings.num_candidates, dim=1)
        score = found.values.numpy()
        candidate = np.where(np.isfinite(score), found.indices.numpy(), -1)
        # The votes, without those for items that a query is not shown: they have no score.
        nearest = nearest_queries(
            known.index, query_vectors[batch, : known.index.d], most, itself[batch]
        )
        linked = links_of(known.links, itself[batch])
        votes = [
            _shown(votes_of(voter, nearest, known.links, linked, known.weights, num_items), scores)
            for voter in voters
        ]
        row, item = items_to_mix(candidate, votes, num_items)
        yield (
            first,
            join(
                row,
                item,
                scores[row, item],
                score,
                votes,
                num_items=num_items,
                temperature=settings.temperature,
            ),
        )


def mixed_ranks(
    known: KnownQueries,
    held_out: HeldOut,
    parts: Iterable[tuple[int, Parts]],
    voters: Sequence[Voter],
    settings: MemorySettings,
) -> Int64Array:
    """Return the `[P]` ranks of held-out items in mixtures.

    Args:
        known, held_out: as for `memory_ranks`.
        parts: of `memory_parts`.
        voters: those of the parts. Those that the settings do not have get no share.
        settings: the memory's numbers.
    """
    share_of = voters_of(settings)
    shares = [share_of.get(voter, 0.0) for voter in voters]
    ranks = np.full(len(held_out.pair_item), held_out.num_candidates, np.int64)
    for first, of_batch in parts:
        mixed = mix(of_batch, known.num_links, known.head, shares, settings)
        last = first + of_batch.has_votes.shape[1]
        pairs = slice(*np.searchsorted(held_out.pair_query, (first, last)))
        ranks[pairs] = rank_in_rows(
            mixed,
            held_out.pair_query[pairs] - first,
            held_out.pair_item[pairs],
            absent=held_out.num_candidates,
        )
    return ranks


def _shown(votes: Entries, scores: Vectors) -> Entries:
    """Leave out the votes for items that a query is not shown, which have no finite score."""
    shown = np.isfinite(scores[votes.row, votes.item])
    return Entries(votes.row[shown], votes.item[shown], votes.value[shown])
