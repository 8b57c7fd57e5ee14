"""What a batch's examples choose among: the items of one rank, or of all ranks together."""

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
# Positions in the training part, and whether each counts: what a rank has of a step.
RankExamples = tuple[Int64Array, npt.NDArray[np.bool_]]

# Kernels are generated for each shape of a matrix product, and Q and I differ in every batch.
_ROWS_MULTIPLE = 64


def padded(num_rows: int) -> int:
    """The rows that a matrix of so many is computed with: one of few shapes."""
    return -(-num_rows // _ROWS_MULTIPLE) * _ROWS_MULTIPLE


@dataclass(frozen=True)
class Candidates:
    """The C candidates of a rank's N examples; `Batch` says what the arrays are.

    Attributes:
        own: position of the rank's own first candidate.
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
    """Finds the candidates of a step, those of other ranks included, from the training set alone.

    What other ranks train on follows from the seed, so that of their candidates only the vectors
    have to be sent around.

    Args:
        training_set: what to train on.
        config: dataset, loss, self-supervision and training sections are read.
        examples: which examples this rank has of a step.
        catalogue: which items of `in_catalogue` it draws.
        in_catalogue: the catalogue's items.
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
        everywhere = config.loss.negatives_across_ranks and examples.world_size > 1
        ranks = range(examples.world_size) if everywhere else (examples.rank,)
        self._ranks = {rank: replace(examples, rank=rank) for rank in ranks}
        self._rank = examples.rank
        train_count = training_set.train_count
        self._frequency: ItemFrequency = ExactFrequency(train_count, config.training.batch_size)
        if config.loss.logq == "streaming":
            self._frequency = StreamingFrequency(
                training_set.item_of_row[training_set.train.item_row],
                len(training_set.item_ids),
                examples,
                config.loss.streaming_rate,
            )
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
        """The examples of the other ranks whose candidates count, by rank."""
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
        """The candidates of a step.

        Args:
            examples, counts: of this rank.
            others: of the other ranks.
            step: the global step.
        """
        s = self._set
        by_rank = dict(sorted({**others, self._rank: (examples, counts)}.items()))
        parts = [self._of_rank(rank, rows, step) for rank, (rows, _) in by_rank.items()]
        items, repeats = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        place, size = _places([len(part) for part, _ in parts])
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
        """Items and repeats of a rank's own candidates."""
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
    """Where each rank's candidates stand, and how many places there are.

    What ranks exchange has to be of one size: each has as many places as the one with the most
    candidates, rounded up. One rank has just its own.
    """
    if len(lengths) == 1:
        return np.arange(lengths[0]), lengths[0]
    size = padded(max(lengths))
    firsts = np.repeat(size * np.arange(len(lengths)), lengths)
    return firsts + ranges(np.zeros(len(lengths), np.int64), np.array(lengths)), size * len(lengths)


def _placed(values: npt.NDArray[Any], place: Int64Array, size: int) -> npt.NDArray[Any]:
    placed = np.zeros(size, values.dtype)
    placed[place] = values
    return placed


class _Hits:
    """Finds accidental hits: candidates of a batch that are no negatives of its examples.

    Args:
        training_set: what to train on.
        known_positives: they are all training positives of an example's query, not its item alone.
    """

    def __init__(self, training_set: TrainingSet, *, known_positives: bool) -> None:
        self._set, self._known = training_set, known_positives
        if known_positives:
            query = training_set.query_of_row[training_set.train.query_row]
            order = np.argsort(query, kind="stable")
            self._items = self._items_of(order)
            counts = np.bincount(query, minlength=len(training_set.query_ids))
            self._offsets = offsets_of(counts)
        # Where an item's candidates stand in the sorted candidates; filled for each batch.
        self._first = np.zeros(len(training_set.item_ids), np.int64)
        self._count = np.zeros(len(training_set.item_ids), np.int64)

    def among(self, candidates: Int64Array, examples: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Pairs of (example, candidate), by example, where the candidate is a hit.

        Args:
            candidates: `[C]` item of each; an item may stand more than once.
            examples: `[N]` positions in the training part.
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
        """Pairs of an example, by its position in the batch, and an item that is no negative."""
        if not self._known:
            return np.arange(len(examples)), self._items_of(examples)
        queries = self._set.query_of_row[self._set.train.query_row[examples]].astype(np.int64)
        starts = self._offsets[queries]
        lengths = self._offsets[queries + 1] - starts
        return np.repeat(np.arange(len(examples)), lengths), self._items[ranges(starts, lengths)]

    def _items_of(self, examples: Int64Array) -> Int64Array:
        return self._set.item_of_row[self._set.train.item_row[examples]].astype(np.int64)
