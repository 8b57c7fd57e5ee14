"""From the training set to batches: one KeyedJaggedTensor a step, each distinct row once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from longtail.config import Config
from longtail.dataset.dropout import drop_features, drop_values
from longtail.dataset.frequency import ExactFrequency, ItemFrequency, StreamingFrequency
from longtail.dataset.sampler import (
    CatalogueSampler,
    ExampleSampler,
    dropout_generator,
    mask_generator,
)
from longtail.dataset.training_set import TrainingSet
from longtail.features.dense import rows_of_vectors
from longtail.features.encoding import offsets_of, ranges
from longtail.features.schema import Side

Int64Array = npt.NDArray[np.int64]


# Kernels are generated for each shape of a matrix product, and Q and I differ in every batch.
_ROWS_MULTIPLE = 64


def padded(num_rows: int) -> int:
    """The rows that a matrix of so many is computed with: one of few shapes."""
    return -(-num_rows // _ROWS_MULTIPLE) * _ROWS_MULTIPLE


class DenseColumn(NamedTuple):
    """A dense feature of the rows of one side.

    Attributes:
        values: `[rows, length]` float32, zero where a row has none.
        missing: `[rows]` bool, where a row has none.
    """

    values: torch.Tensor
    missing: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """What one rank trains on in one step.

    Popularity repeats rows inside a batch: N examples have Q distinct query rows and I distinct
    item rows, followed by M sampled catalogue items, once or twice. C candidates are the I items
    and, with mixed negatives, the M sampled ones.

    Attributes:
        features: keys `query.<name>` then `item.<name>`, stride `padded(max(Q, I + num_copies *
            M))`; a side's rows come first, the rest of its stride is empty. Categorical ones only.
        dense: the dense features, by key; `padded(Q)` rows or `padded(I + num_copies * M)`.
        query: `[N]` int64, position of each example's query among the Q.
        item: `[N]` int64, position of each example's item among the I.
        weight: `[N]` float32, zero for examples that only fill up the batch.
        timestamp: `[N]` int64, microseconds.
        candidate_birth: `[C]` int64, microseconds: never a negative of an earlier example.
        late: `[L]` int64, the candidates that were born after the batch's earliest example.
        candidate_repeats: `[C]` float32, examples of the batch that have this item row; for a
            sampled one 1, or the weight of cold negatives.
        candidate_expected: `[C]` float32, times the item is expected among the candidates.
        excluded_example, excluded_candidate: `[E]` int64, pairs that are accidental hits: the
            candidate is a known training positive of the example's query (its own item included).
        num_queries, num_items, num_sampled: Q, I, M.
        num_copies: 2 where each view of the sampled items has its own dropped values.
        step: the global step.
        mask_draw: a random number that chooses this step's mask, the same on every rank.
    """

    features: KeyedJaggedTensor
    dense: Mapping[str, DenseColumn]
    query: torch.Tensor
    item: torch.Tensor
    weight: torch.Tensor
    timestamp: torch.Tensor
    candidate_birth: torch.Tensor
    late: torch.Tensor
    candidate_repeats: torch.Tensor
    candidate_expected: torch.Tensor
    excluded_example: torch.Tensor
    excluded_candidate: torch.Tensor
    num_queries: int
    num_items: int
    num_sampled: int
    num_copies: int
    step: int
    mask_draw: int

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Batch":
        """The batch on another device."""
        return self._mapped(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory, from which a copy to a CUDA device can overlap."""
        return self._mapped(lambda value: value.pin_memory())

    def record_stream(self, stream: torch.Stream) -> None:
        """Keep the tensors alive until `stream` has used them (TorchRec's pipelines ask)."""

        def record(value: Any) -> Any:
            value.record_stream(stream)
            return value

        self._mapped(record)

    def _mapped(self, change: Callable[[Any], Any]) -> "Batch":
        """The batch with every tensor changed."""
        changed: dict[str, Any] = {
            "dense": {key: DenseColumn(*map(change, column)) for key, column in self.dense.items()}
        }
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in changed and not isinstance(value, int):
                changed[field.name] = change(value)
        return replace(self, **changed)


class BatchBuilder:
    """Builds the batch of any step, from the memory-mapped training set alone.

    Args:
        training_set: what to train on.
        config: dataset, loss, self-supervision and training sections are read.
        world_size: ranks.
        rank: this one.
    """

    def __init__(
        self, training_set: TrainingSet, config: Config, *, world_size: int = 1, rank: int = 0
    ) -> None:
        self._set = training_set
        self._mixed = config.loss.mixed_negatives
        self._seed = config.training.seed
        self._rank = rank
        ssl = config.self_supervision
        self._num_copies = ssl.num_copies
        self._value_dropout = ssl.view_dropout
        drops_features = ssl.augmentation == "feature_dropout"
        self._feature_dropout = ssl.feature_dropout if drops_features else 0.0
        self._multi_valued = np.array([f.kind == "multi" for f in training_set.schema.item])
        schema = training_set.schema
        self._keys = [feature.key for feature in schema.features if not feature.is_dense]
        self._has_dense = bool(schema.projections)
        self._catalogue = np.flatnonzero(training_set.catalogue_row >= 0)
        self.examples = ExampleSampler(
            len(training_set.train), config.training.batch_size, world_size, rank, self._seed
        )
        train_count = training_set.train_count
        self.catalogue = CatalogueSampler(
            len(self._catalogue),
            config.sample_size,
            world_size,
            rank,
            self._seed,
            weights=train_count[self._catalogue] if ssl.sampling == "frequency" else None,
        )
        self._frequency: ItemFrequency = ExactFrequency(train_count, config.training.batch_size)
        if config.loss.logq == "streaming":
            self._frequency = StreamingFrequency(
                training_set.item_of_row[training_set.train.item_row],
                len(training_set.item_ids),
                self.examples,
                config.loss.streaming_rate,
            )
        self._negative_weight = np.where(
            train_count > 0, 1.0, config.loss.cold_negative_weight
        ).astype(np.float32)
        self._expected_in_sample = np.zeros(len(train_count), np.float32)
        if self._mixed:
            self._expected_in_sample[self._catalogue] = self.catalogue.expected
        self._positives = _Positives(training_set)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every training example is seen once."""
        return self.examples.steps_per_epoch

    def epoch(self, epoch: int, *, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from one of its steps on."""
        order = self.examples.epoch_order(epoch)
        for step in range(first_step, self.steps_per_epoch):
            positions, counts = self.examples.batch(order, step)
            yield self.build(positions, counts, step=epoch * self.steps_per_epoch + step)

    def build(self, examples: Int64Array, counts: npt.NDArray[np.bool_], *, step: int) -> Batch:
        """One batch.

        Args:
            examples: `[N]` positions in the training part.
            counts: `[N]` whether each has its weight, or none.
            step: the global step, which seeds the sample, the dropout and the mask.
        """
        s = self._set
        query_rows, query = np.unique(s.train.query_row[examples], return_inverse=True)
        item_rows, item, repeats = np.unique(
            s.train.item_row[examples], return_inverse=True, return_counts=True
        )
        sampled = self._catalogue[self.catalogue.draw(step)]
        sampled_rows = np.tile(s.catalogue_row[sampled], self._num_copies)
        all_item_rows = np.concatenate([item_rows, sampled_rows])

        query_values, query_lengths = s.query_rows.columns(query_rows)
        item_values, item_lengths = s.item_rows.columns(all_item_rows)
        item_values, item_lengths = self._augmented(
            item_values, item_lengths, first_sampled=len(item_rows), step=step
        )
        dense: dict[str, DenseColumn] = {}
        if self._has_dense:
            query_values, query_lengths, of_queries = self._split(
                "query", query_values, query_lengths
            )
            item_values, item_lengths, of_items = self._split("item", item_values, item_lengths)
            dense = of_queries | of_items
        stride = padded(max(len(query_rows), len(all_item_rows)))
        lengths = np.zeros((len(self._keys), stride), np.int32)
        lengths[: len(query_lengths), : len(query_rows)] = query_lengths
        lengths[len(query_lengths) :, : len(all_item_rows)] = item_lengths
        features = KeyedJaggedTensor(
            keys=self._keys,
            values=torch.from_numpy(np.concatenate([query_values, item_values])),
            lengths=torch.from_numpy(lengths.ravel()),
            stride=stride,
        )

        candidates = s.item_of_row[item_rows].astype(np.int64)
        repeats = repeats.astype(np.float32)
        if self._mixed:
            candidates = np.concatenate([candidates, sampled])
            repeats = np.concatenate([repeats, self._negative_weight[sampled]])
        expected = self._frequency.expected(candidates, step) + self._expected_in_sample[candidates]
        birth, timestamp = s.first_seen[candidates], s.train.timestamp[examples]
        queries = s.query_of_row[s.train.query_row[examples]]
        excluded_example, excluded_candidate = self._positives.hits(queries, candidates)
        return Batch(
            features=features,
            dense=dense,
            query=torch.from_numpy(query.ravel()),
            item=torch.from_numpy(item.ravel()),
            weight=torch.from_numpy(s.train.weight[examples] * counts),
            timestamp=torch.from_numpy(timestamp),
            candidate_birth=torch.from_numpy(birth),
            late=torch.from_numpy(np.flatnonzero(birth > timestamp.min())),
            candidate_repeats=torch.from_numpy(repeats),
            candidate_expected=torch.from_numpy(expected),
            excluded_example=torch.from_numpy(excluded_example),
            excluded_candidate=torch.from_numpy(excluded_candidate),
            num_queries=len(query_rows),
            num_items=len(item_rows),
            num_sampled=len(sampled),
            num_copies=self._num_copies,
            step=step,
            mask_draw=int(mask_generator(self._seed, step).integers(2**31)),
        )

    def _split(
        self, side: Side, values: npt.NDArray[np.int32], lengths: Int64Array
    ) -> tuple[npt.NDArray[np.int32], Int64Array, dict[str, DenseColumn]]:
        """The categorical features of a side's rows, and its dense ones, their values looked up."""
        rows = self._set.item_rows if side == "item" else self._set.query_rows
        num_rows = padded(lengths.shape[1])
        ends = offsets_of(lengths.sum(axis=1))
        categorical, kept, dense = [], [], {}
        for position, feature in enumerate(self._set.schema.side(side)):
            codes = values[ends[position] : ends[position + 1]]
            if not feature.is_dense:
                categorical.append(position)
                kept.append(codes)
                continue
            present = np.zeros(num_rows, np.bool_)
            present[: lengths.shape[1]] = lengths[position] > 0
            dense[feature.key] = DenseColumn(
                torch.from_numpy(rows_of_vectors(rows.vectors[position], codes, present)),
                torch.from_numpy(~present),
            )
        return np.concatenate(kept), lengths[categorical], dense

    def _augmented(
        self,
        values: npt.NDArray[np.int32],
        lengths: Int64Array,
        *,
        first_sampled: int,
        step: int,
    ) -> tuple[npt.NDArray[np.int32], Int64Array]:
        """Drop values of the sampled items' multi-valued features, or the main items' features."""
        if not self._feature_dropout and not self._value_dropout:
            return values, lengths
        generator = dropout_generator(self._seed, step, self._rank)
        cells = np.zeros(lengths.shape, bool)
        if self._feature_dropout:
            main = cells[:, :first_sampled]
            main[:] = generator.random(main.shape) < self._feature_dropout
            return drop_features(values, lengths, cells=cells)
        cells[self._multi_valued, first_sampled:] = True
        return drop_values(
            values, lengths, cells=cells, rate=self._value_dropout, generator=generator
        )


class _Positives:
    """Training positives by query, to find the accidental hits among a batch's candidates."""

    def __init__(self, training_set: TrainingSet) -> None:
        query = training_set.query_of_row[training_set.train.query_row].astype(np.int64)
        item = training_set.item_of_row[training_set.train.item_row].astype(np.int64)
        order = np.argsort(query, kind="stable")
        self._items = item[order]
        counts = np.bincount(query, minlength=len(training_set.query_ids))
        self._offsets = offsets_of(counts)
        # Where an item's candidates stand in the sorted candidates; filled for each batch.
        self._first = np.zeros(len(training_set.item_ids), np.int64)
        self._count = np.zeros(len(training_set.item_ids), np.int64)

    def hits(
        self, queries: npt.NDArray[np.int32], candidates: Int64Array
    ) -> tuple[Int64Array, Int64Array]:
        """Pairs of (example, candidate) where the candidate is a positive of the query.

        Args:
            queries: `[N]` query of each example.
            candidates: `[C]` item of each candidate; an item may stand more than once.
        """
        by_item = np.argsort(candidates, kind="stable")
        items, first, count = np.unique(candidates[by_item], return_index=True, return_counts=True)
        self._first[items], self._count[items] = first, count
        starts = self._offsets[queries]
        lengths = self._offsets[queries.astype(np.int64) + 1] - starts
        example = np.repeat(np.arange(len(queries)), lengths)
        positive = self._items[ranges(starts, lengths)]
        there = self._count[positive] > 0
        example, positive = example[there], positive[there]
        copies = self._count[positive]
        candidate = by_item[ranges(self._first[positive], copies)]
        self._count[items] = 0
        return np.repeat(example, copies), candidate
