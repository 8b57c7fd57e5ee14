"""The candidates of a batch: the items that its examples are scored against."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.config import Config
from longtail.dataset.frequency import ExactFrequency, ItemFrequency, StreamingFrequency
from longtail.dataset.sampler import CatalogueSampler, ExampleSampler
from longtail.dataset.training_set import TrainingSet
from longtail.features.encoding import offsets_of, ranges

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
# The examples of a rank in a step: positions in the training part, and whether each counts.
RankExamples = tuple[Int64Array, npt.NDArray[np.bool_]]

# Libraries generate a kernel for each shape of a matrix product, and the numbers of query and item
# rows differ from batch to batch: rounded up, they have few shapes.
_ROWS_MULTIPLE = 64


def padded(num_rows: int) -> int:
    """Round a number of rows up to the one that its matrix is computed with."""
    return -(-num_rows // _ROWS_MULTIPLE) * _ROWS_MULTIPLE


@dataclass(frozen=True)
class Candidates:
    """The C candidates of a rank's N examples; `Batch` explains the arrays.

    Attributes:
        own: position of the rank's own first candidate among the C.
    """

    own: int
    total_weight: np.float32
    birth: Int64Array
    late: Int64Array
    repeats: Float32Array
    expected: Float32Array
    excluded_example: Int64Array
    excluded_candidate: Int64Array


class CandidateFinder:
    """Finds the candidates of a step, of this rank alone or of all ranks, from the training set.

    The examples and samples of other ranks follow from the seed, so that ranks exchange nothing but
    the vectors of their candidates.

    Args:
        training_set: the data to train on.
        config: the sections `dataset`, `loss`, `self_supervision` and `training` are read.
        examples: chooses this rank's examples of a step.
        catalogue: draws the sampled items, as positions in `in_catalogue`.
        in_catalogue: the items of the catalogue.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        config: Config,
        examples: ExampleSampler,
        catalogue: CatalogueSampler,
        in_catalogue: Int64Array,
    ) -> None:
        self._set, self._catalogue, self._in_catalogue = training_set, catalogue, in_catalogue
        self._mixed = config.loss.mixed_negatives
        # With the samplers of all ranks, this rank knows the candidates of the others.
        everywhere = config.loss.negatives_across_ranks and examples.world_size > 1
        ranks = range(examples.world_size) if everywhere else (examples.rank,)
        self._ranks = {rank: replace(examples, rank=rank) for rank in ranks}
        self._rank = examples.rank
        # logQ: how often an item is expected among the examples' items, and in the sample.
        train_count = training_set.train_count
        self._frequency: ItemFrequency = ExactFrequency(train_count, config.training.batch_size)
        if config.loss.logq == "streaming":
            self._frequency = StreamingFrequency(
                training_set.item_of_row[training_set.train.item_row],
                len(training_set.item_ids),
                examples,
                config.loss.streaming_rate,
            )
        # An item without a training interaction may count less as a sampled negative.
        self._negative_weight = np.where(
            train_count > 0, 1.0, config.loss.cold_negative_weight
        ).astype(np.float32)
        self._expected_in_sample = np.zeros(len(train_count), np.float32)
        if self._mixed:
            self._expected_in_sample[in_catalogue] = catalogue.expected
        self._unborn_negatives = config.loss.unborn_negatives
        self._hits = _Hits(
            training_set, known_positives=config.loss.accidental_hits == "known_positives"
        )

    def others(self, order: Int64Array, step_in_epoch: int) -> dict[int, RankExamples]:
        """Return the examples of each other rank; none without `loss.negatives_across_ranks`.

        Args:
            order: the epoch's order.
            step_in_epoch: the step, counted from the start of the epoch.
        """
        return {
            rank: examples.batch(order, step_in_epoch)
            for rank, examples in self._ranks.items()
            if rank != self._rank
        }

    def find(
        self,
        examples: Int64Array,
        counts: npt.NDArray[np.bool_],
        others: dict[int, RankExamples],
        *,
        step: int,
    ) -> Candidates:
        """Find the candidates of a step.

        Args:
            examples: `[N]` this rank's positions in the training part.
            counts: `[N]` whether each example counts.
            others: the examples of the other ranks, see `others`.
            step: the global step.
        """
        # All ranks' candidates, in the order of the ranks, and the place of each in the arrays.
        s = self._set
        by_rank = dict(sorted({**others, self._rank: (examples, counts)}.items()))
        parts = [self._of_rank(rank, rows, step) for rank, (rows, _) in by_rank.items()]
        items, repeats = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        place, size = _places([len(part) for part, _ in parts])
        # Hits, frequencies and births are those of the one batch that the ranks have together.
        timestamp = s.train.timestamp[examples]
        excluded_example, excluded = self._hits.among(items, examples)
        expected = self._frequency.expected(items, step) + self._expected_in_sample[items]
        birth = s.first_seen[items]
        weights = [s.train.weight[rows] * counted for rows, counted in by_rank.values()]
        return Candidates(
            own=int(place[sum(len(part) for part, _ in parts[: [*by_rank].index(self._rank)])]),
            total_weight=np.float32(np.sum(weights) / len(by_rank)),
            birth=_placed(birth, place, size),
            late=place[:0] if self._unborn_negatives else place[birth > timestamp.min()],
            repeats=_placed(repeats, place, size),
            expected=_placed(expected * np.float32(len(by_rank)), place, size),
            excluded_example=excluded_example,
            excluded_candidate=place[excluded],
        )

    def _of_rank(
        self, rank: int, examples: Int64Array, step: int
    ) -> tuple[Int64Array, Float32Array]:
        """Return the items of a rank's own candidates, and how often each counts."""
        rows, repeats = np.unique(self._set.train.item_row[examples], return_counts=True)
        items = self._set.item_of_row[rows].astype(np.int64)
        if not self._mixed:
            return items, repeats.astype(np.float32)
        sampled = self._in_catalogue[self._catalogue.draw(step, rank=rank)]
        return (
            np.concatenate([items, sampled]),
            np.concatenate([repeats, self._negative_weight[sampled]]).astype(np.float32),
        )


def _places(lengths: Sequence[int]) -> tuple[Int64Array, int]:
    """Return the place of each candidate, rank by rank, and the number of places.

    Ranks can only exchange arrays of one size. Each has places for the most candidates that any
    rank has, rounded up. A rank alone has a place for each of its own.
    """
    if len(lengths) == 1:
        return np.arange(lengths[0]), lengths[0]
    size = padded(max(lengths))
    firsts = np.repeat(size * np.arange(len(lengths)), lengths)
    return firsts + ranges(np.zeros(len(lengths), np.int64), np.array(lengths)), size * len(lengths)


def _placed(values: npt.NDArray[Any], place: Int64Array, size: int) -> npt.NDArray[Any]:
    """Return `[size]` values in their places, zero in the places between them."""
    placed = np.zeros(size, values.dtype)
    placed[place] = values
    return placed


class _Hits:
    """Finds accidental hits: candidates of a batch that are no negatives of its examples.

    Args:
        training_set: the data to train on.
        known_positives: all training positives of an example's query are hits; else only the
            example's own item is.
    """

    def __init__(self, training_set: TrainingSet, *, known_positives: bool) -> None:
        self._set, self._known = training_set, known_positives
        if known_positives:
            # The positives of all queries, query by query.
            query = training_set.query_of_row[training_set.train.query_row]
            order = np.argsort(query, kind="stable")
            self._items = self._items_of(order)
            counts = np.bincount(query, minlength=len(training_set.query_ids))
            self._offsets = offsets_of(counts)
        # The first of each item's candidates in the sorted candidates, and their number. Each batch
        # fills in its items, and clears their numbers again.
        self._first = np.zeros(len(training_set.item_ids), np.int64)
        self._count = np.zeros(len(training_set.item_ids), np.int64)

    def among(self, candidates: Int64Array, examples: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return the pairs of an example and a candidate that is a hit, ordered by example.

        Args:
            candidates: `[C]` the item of each candidate; an item may stand more than once.
            examples: `[N]` positions in the training part.

        Returns:
            `[E]` positions of examples in the batch, and `[E]` positions of candidates.
        """
        example, hit = self._by_example(examples)
        by_item = np.argsort(candidates, kind="stable")
        items, first, count = np.unique(candidates[by_item], return_index=True, return_counts=True)
        self._first[items], self._count[items] = first, count
        there = self._count[hit] > 0
        example, hit = example[there], hit[there]
        copies = self._count[hit]
        candidate = by_item[ranges(self._first[hit], copies)]
        self._count[items] = 0
        return np.repeat(example, copies), candidate

    def _by_example(self, examples: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return the pairs of an example, a position in the batch, and an item that is a hit."""
        if not self._known:
            return np.arange(len(examples)), self._items_of(examples)
        queries = self._set.query_of_row[self._set.train.query_row[examples]].astype(np.int64)
        starts = self._offsets[queries]
        lengths = self._offsets[queries + 1] - starts
        return np.repeat(np.arange(len(examples)), lengths), self._items[ranges(starts, lengths)]

    def _items_of(self, examples: Int64Array) -> Int64Array:
        return self._set.item_of_row[self._set.train.item_row[examples]].astype(np.int64)
