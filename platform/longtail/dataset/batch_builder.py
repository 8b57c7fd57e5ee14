"""Builds batches from the training set: one lookup for each distinct row."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from longtail.config import Config
from longtail.dataset.batch import Batch, DenseColumn, RepeatedCells
from longtail.dataset.batch_queries import BatchQueries
from longtail.dataset.candidates import CandidateFinder, RankExamples, padded
from longtail.dataset.distinct_cells import DistinctCells
from longtail.dataset.dropout import drop_features, drop_values, num_copies
from longtail.dataset.sampler import (
    CatalogueSampler,
    ExampleSampler,
    dropout_generator,
    mask_draws,
)
from longtail.dataset.training_set import TrainingSet
from longtail.features.dense import rows_of_vectors
from longtail.features.encoding import offsets_of
from longtail.features.schema import Side

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
# With more cells than this, relative to the rows, a product for each row costs less.
_REPEATED_SHARE = 0.7


class _SideFeatures(NamedTuple):
    """The features of one side's rows in a batch.

    Attributes:
        values: `[nnz]` the codes of the categorical features, feature by feature.
        lengths: `[F, rows]` the number of codes of each cell, of the categorical features.
        repeated: the features that are looked up by cell, by key: their values are those of the
            cells, and their lengths are one or zero for each cell, then zero.
        dense: the dense features, by key.
    """

    values: Int32Array
    lengths: Int64Array
    repeated: dict[str, RepeatedCells]
    dense: dict[str, DenseColumn]


class BatchBuilder:
    """Builds the batch of any step from the memory-mapped training set; for use in one thread.

    Args:
        training_set: the data to train on.
        config: the sections `correlation`, `dataset`, `history`, `loss`, `self_supervision` and
            `training` are read.
        world_size: number of ranks.
        rank: this rank.
    """

    def __init__(
        self, training_set: TrainingSet, config: Config, *, world_size: int = 1, rank: int = 0
    ) -> None:
        self._set = training_set
        self._mixed = config.loss.mixed_negatives
        self._seed = config.training.seed
        self._rank = rank
        # What the augmentation asks of a batch.
        ssl = config.self_supervision
        # Where nothing is hidden, all masks are alike.
        self._num_masks = ssl.num_masks if ssl.augmenter.hides_features else 1
        self._value_dropout = ssl.augmenter.view_dropout
        self._feature_dropout = ssl.augmenter.supervised_feature_dropout
        schema = training_set.schema
        self._num_copies = num_copies(config, schema)
        self._multi_valued = np.array([feature.kind == "multi" for feature in schema.item])
        self._keys = [feature.key for feature in schema.features if not feature.is_dense]
        self._has_dense = bool(schema.projections)
        self._distinct = {table: DistinctCells() for table in schema.tables}
        # The samplers: which examples, and which catalogue items, a step has.
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
        self._queries = BatchQueries(training_set, config, rank)
        self._candidates = CandidateFinder(
            training_set, config, self.examples, self.catalogue, self._catalogue
        )

    @property
    def steps_per_epoch(self) -> int:
        """The number of steps in which every training example is seen once."""
        return self.examples.steps_per_epoch

    def epoch(self, epoch: int, *, first_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from one of its steps on."""
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
        """Build one batch.

        Args:
            examples: `[N]` positions in the training part.
            counts: `[N]` whether each example has its weight, or none.
            step: the global step, which seeds the sample, the dropout and the mask.
            others: the examples and counts of the ranks that share their candidates, by rank.
        """
        # Popular queries and items repeat among the examples: each distinct row is looked up once.
        train = self._set.train
        query_values, query_lengths, query = self._queries.of(examples, step)
        item_rows, item = np.unique(train.item_row[examples], return_inverse=True)

        # The sampled items come next, twice where each of their views drops values of its own.
        sampled = self._catalogue[self.catalogue.draw(step)]
        copies = np.tile(self._set.catalogue_row[sampled], self._num_copies)
        item_values, item_lengths = self._set.item_rows.columns(np.concatenate([item_rows, copies]))
        item_values, item_lengths = self._dropped(
            item_values, item_lengths, first_sampled=len(item_rows), step=step
        )
        queries = self._features("query", query_values, query_lengths)
        items = self._features("item", item_values, item_lengths)

        found = self._candidates.find(examples, counts, others or {}, step=step)
        return Batch(
            features=self._jagged(queries, items),
            repeated=queries.repeated | items.repeated,
            dense=queries.dense | items.dense,
            query=torch.from_numpy(query),
            item=torch.from_numpy(item.ravel() + found.own),
            weight=torch.from_numpy(train.weight[examples] * counts),
            total_weight=torch.tensor(found.total_weight),
            timestamp=torch.from_numpy(train.timestamp[examples]),
            candidate_birth=torch.from_numpy(found.birth),
            late=torch.from_numpy(found.late),
            candidate_repeats=torch.from_numpy(found.repeats),
            candidate_expected=torch.from_numpy(found.expected),
            excluded_example=torch.from_numpy(found.excluded_example),
            excluded_candidate=torch.from_numpy(found.excluded_candidate),
            num_queries=query_lengths.shape[1],
            num_items=len(item_rows),
            num_sampled=len(sampled),
            num_candidates=len(item_rows) + len(sampled) * self._mixed,
            num_copies=self._num_copies,
            step=step,
            mask_draws=mask_draws(self._seed, step, self._num_masks),
        )

    def _dropped(
        self, values: Int32Array, lengths: Int64Array, *, first_sampled: int, step: int
    ) -> tuple[Int32Array, Int64Array]:
        """Drop what the augmentation drops from the item rows.

        These are values of the sampled items' multi-valued features, or whole features of the
        examples' items.

        Args:
            values, lengths: as `EncodedRows.columns` returns them.
            first_sampled: the first row of a sampled item.
            step: the global step.
        """
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

    def _features(self, side: Side, values: Int32Array, lengths: Int64Array) -> _SideFeatures:
        """Return a side's features as a batch has them.

        Args:
            side: the side.
            values, lengths: of all its features, as `EncodedRows.columns` returns them.
        """
        dense: dict[str, DenseColumn] = {}
        if self._has_dense:
            values, lengths, dense = self._split_dense(side, values, lengths)
        values, lengths, repeated = self._by_cell(side, values, lengths)
        return _SideFeatures(values, lengths, repeated, dense)

    def _split_dense(
        self, side: Side, values: Int32Array, lengths: Int64Array
    ) -> tuple[Int32Array, Int64Array, dict[str, DenseColumn]]:
        """Return the values and lengths of the categorical features, and the dense features.

        The code of a dense feature is a position among its vectors, which are looked up here.
        """
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

    def _by_cell(
        self, side: Side, values: Int32Array, lengths: Int64Array
    ) -> tuple[Int32Array, Int64Array, dict[str, RepeatedCells]]:
        """Turn features of few distinct cells into these cells, each to be looked up once.

        Args:
            side: the side.
            values, lengths: of its categorical features; the lengths are changed in place.

        Returns:
            Values and lengths, for some features of cells instead of rows; and these features.
        """
        ends = offsets_of(lengths.sum(axis=1))
        num_rows = lengths.shape[1]
        features = [f for f in self._set.schema.side(side) if not f.is_dense]
        kept, repeated = [], {}
        for position, feature in enumerate(features):
            codes = values[ends[position] : ends[position + 1]]
            kept.append(codes)
            # Ids hardly repeat, since each row stands once.
            if feature.kind != "single" or feature.is_id:
                continue
            cells = codes
            if len(codes) < num_rows:  # "no value" is a cell, too
                cells = np.full(num_rows, -1, np.int32)
                cells[lengths[position] > 0] = codes
            distinct, of_row = self._distinct[feature.table].find(cells)
            num_cells = padded(len(distinct))
            if num_cells > _REPEATED_SHARE * num_rows:
                continue
            present = distinct >= 0
            kept[-1] = distinct[present]
            lengths[position] = 0
            lengths[position, : len(distinct)] = present
            repeated[feature.key] = _repeated_cells(of_row, num_cells)
        return np.concatenate(kept), lengths, repeated

    def _jagged(self, queries: _SideFeatures, items: _SideFeatures) -> KeyedJaggedTensor:
        """Return the categorical features of both sides, which share one stride."""
        num_queries, num_items = queries.lengths.shape[1], items.lengths.shape[1]
        stride = padded(max(num_queries, num_items))
        lengths = np.zeros((len(self._keys), stride), np.int32)
        lengths[: len(queries.lengths), :num_queries] = queries.lengths
        lengths[len(queries.lengths) :, :num_items] = items.lengths
        return KeyedJaggedTensor(
            keys=self._keys,
            values=torch.from_numpy(np.concatenate([queries.values, items.values])),
            lengths=torch.from_numpy(lengths.ravel()),
            stride=stride,
            # Said here, for on a GPU finding it out would make the host wait for the device.
            length_per_key=lengths.sum(axis=1).tolist(),
        )


def _repeated_cells(of_row: Int64Array, num_cells: int) -> RepeatedCells:
    """Return the cell of each row, and the rows of each cell.

    Args:
        of_row: `[R]` the cell of each row.
        num_cells: with padding.
    """
    of_every_row = np.zeros(padded(len(of_row)), np.int64)
    of_every_row[: len(of_row)] = of_row
    # NumPy sorts numbers of 16 bits digit by digit, which is faster.
    sortable = of_row.astype(np.uint16) if num_cells < 1 << 16 else of_row
    return RepeatedCells(
        torch.from_numpy(of_every_row),
        torch.from_numpy(sortable.argsort(kind="stable")),
        torch.from_numpy(offsets_of(np.bincount(of_row, minlength=num_cells))[:-1]),
    )
