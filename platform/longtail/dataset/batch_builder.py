"""From the training set to batches: one KeyedJaggedTensor a step, each distinct row once."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from longtail.config import Config
from longtail.dataset.batch import Batch, DenseColumn, RepeatedCells
from longtail.dataset.candidates import CandidateFinder, RankExamples, padded
from longtail.dataset.distinct_cells import DistinctCells
from longtail.dataset.dropout import drop_features, drop_values
from longtail.dataset.sampler import (
    CatalogueSampler,
    ExampleSampler,
    dropout_generator,
    mask_generator,
)
from longtail.dataset.training_set import TrainingSet
from longtail.features.dense import rows_of_vectors
from longtail.features.encoding import offsets_of
from longtail.features.schema import Side

Int64Array = npt.NDArray[np.int64]
# With more cells than this, relative to the rows, a product row by row costs less.
_REPEATED_SHARE = 0.7


class BatchBuilder:
    """Builds the batch of any step, from the memory-mapped training set alone; in one thread.

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
        self._num_copies = ssl.augmenter.num_copies
        self._value_dropout = ssl.augmenter.view_dropout
        self._feature_dropout = ssl.augmenter.supervised_feature_dropout
        self._multi_valued = np.array([f.kind == "multi" for f in training_set.schema.item])
        schema = training_set.schema
        self._keys = [feature.key for feature in schema.features if not feature.is_dense]
        self._has_dense = bool(schema.projections)
        self._distinct = {table: DistinctCells() for table in schema.tables}
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
        self._candidates = CandidateFinder(
            training_set, config, self.examples, self.catalogue, self._catalogue
        )

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every training example is seen once."""
        return self.examples.steps_per_epoch

    def epoch(self, epoch: int, *, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from one of its steps on."""
        order = self.examples.epoch_order(epoch)
        for step in range(first_step, self.steps_per_epoch):
            positions, counts = self.examples.batch(order, step)
            yield self.build(
                positions,
                counts,
                step=epoch * self.steps_per_epoch + step,
                others=self._candidates.others(order, step),
            )

    def build(
        self,
        examples: Int64Array,
        counts: npt.NDArray[np.bool_],
        *,
        step: int,
        others: dict[int, RankExamples] | None = None,
    ) -> Batch:
        """One batch.

        Args:
            examples: `[N]` positions in the training part.
            counts: `[N]` whether each has its weight, or none.
            step: the global step, which seeds the sample, the dropout and the mask.
            others: the same of the ranks whose items are candidates too, by rank.
        """
        s = self._set
        query_rows, query = np.unique(s.train.query_row[examples], return_inverse=True)
        item_rows, item = np.unique(s.train.item_row[examples], return_inverse=True)
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
        query_values, query_cells = self._repeated("query", query_values, query_lengths)
        item_values, item_cells = self._repeated("item", item_values, item_lengths)
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

        found = self._candidates.find(examples, counts, others or {}, step=step)
        return Batch(
            features=features,
            repeated=query_cells | item_cells,
            dense=dense,
            query=torch.from_numpy(query.ravel()),
            item=torch.from_numpy(item.ravel() + found.own),
            weight=torch.from_numpy(s.train.weight[examples] * counts),
            total_weight=torch.tensor(found.total_weight),
            timestamp=torch.from_numpy(s.train.timestamp[examples]),
            candidate_birth=torch.from_numpy(found.birth),
            late=torch.from_numpy(found.late),
            candidate_repeats=torch.from_numpy(found.repeats),
            candidate_expected=torch.from_numpy(found.expected),
            excluded_example=torch.from_numpy(found.excluded_example),
            excluded_candidate=torch.from_numpy(found.excluded_candidate),
            num_queries=len(query_rows),
            num_items=len(item_rows),
            num_sampled=len(sampled),
            num_candidates=len(item_rows) + len(sampled) * self._mixed,
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

    def _repeated(
        self, side: Side, values: npt.NDArray[np.int32], lengths: Int64Array
    ) -> tuple[npt.NDArray[np.int32], dict[str, RepeatedCells]]:
        """The values of a side's categorical features, each distinct cell of some of them once.

        Args:
            side: of which they are.
            values, lengths: feature by feature; the lengths become those of the cells.
        """
        ends = offsets_of(lengths.sum(axis=1))
        num_rows = lengths.shape[1]
        features = [f for f in self._set.schema.side(side) if not f.is_dense]
        kept, repeated = [], {}
        for position, feature in enumerate(features):
            kept.append(values[ends[position] : ends[position + 1]])
            if feature.kind != "single" or feature.is_id:
                continue
            cells = kept[-1]
            if len(cells) < num_rows:
                cells = np.full(num_rows, -1, np.int32)
                cells[lengths[position] > 0] = kept[-1]
            distinct, of_row = self._distinct[feature.table].find(cells)
            num_cells = padded(len(distinct))
            if num_cells > _REPEATED_SHARE * num_rows:
                continue
            present = distinct >= 0
            kept[-1] = distinct[present]
            lengths[position] = 0
            lengths[position, : len(distinct)] = present
            of_every_row = np.zeros(padded(num_rows), np.int64)
            of_every_row[:num_rows] = of_row
            # Numbers of 16 bits are sorted digit by digit.
            sortable = of_row.astype(np.uint16) if num_cells < 1 << 16 else of_row
            repeated[feature.key] = RepeatedCells(
                torch.from_numpy(of_every_row),
                torch.from_numpy(sortable.argsort(kind="stable")),
                torch.from_numpy(offsets_of(np.bincount(of_row, minlength=num_cells))[:-1]),
            )
        return np.concatenate(kept), repeated

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
