"""The two-tower model: one lookup of all features, two towers, and the loss of a batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torchrec.modules.embedding_configs import EmbeddingBagConfig, PoolingType
from torchrec.sparse.jagged_tensor import KeyedTensor

from longtail.augmentation.masks import Masks
from longtail.config import Config
from longtail.dataset.batch import Batch
from longtail.dataset.candidates import padded
from longtail.features.schema import Schema, Side
from longtail.model.losses import batch_softmax, view_contrast
from longtail.model.projections import projections
from longtail.model.towers import Inputs, Repeated, Tower, by_row


class LossTerms(NamedTuple):
    """The loss of one batch and its parts, scalars.

    A tuple, because DistributedDataParallel looks for the tensors of an output in the containers
    that torch knows: in a dataclass it finds none, and then averages no gradient between ranks.
    """

    total: torch.Tensor
    main: torch.Tensor
    self_supervised: torch.Tensor


def embedding_tables(schema: Schema, num_rows: dict[str, int]) -> list[EmbeddingBagConfig]:
    """TorchRec's description of the tables; features that share a table share its weights.

    They sum a feature's embeddings; the model makes means of the sums. FBGEMM's own means cost a
    wait a bag on an Intel CPU, by which a lookup takes twice as long (training/SPEED.md).

    Args:
        schema: the features of both sides.
        num_rows: rows of each table.
    """
    return [
        EmbeddingBagConfig(
            name=table,
            embedding_dim=features[0].dim,
            num_embeddings=num_rows[table],
            feature_names=[feature.key for feature in features],
            pooling=PoolingType.SUM,
        )
        for table, features in schema.tables.items()
    ]


class TwoTower(nn.Module):
    """Query tower and item tower over shared embedding bags.

    Args:
        schema: the features of both sides.
        config: model, loss and self-supervision sections are read.
        embedding_bags: maps a KeyedJaggedTensor to a KeyedTensor; TorchRec shards it.
        masks: make the mask of a step, for the self-supervised task.
        product_dtype: what the towers' matrix products are computed in; None is the weights' own.
        of_all_ranks: from a rank's candidates, `[padded(its number), output_dim]`, and how many all
            ranks have together, to those of all ranks. None where each rank has its own alone.
    """

    def __init__(
        self,
        schema: Schema,
        config: Config,
        embedding_bags: nn.Module,
        masks: Masks,
        product_dtype: torch.dtype | None = None,
        of_all_ranks: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.embedding_bags = embedding_bags
        self.query_tower = _tower(schema, "query", config)
        self.item_tower = _tower(schema, "item", config)
        self.projections = projections(schema)
        self._projected = {f.key: f.table for f in schema.features if f.is_dense}
        if config.model.start_alike:
            _start_alike(schema, self.query_tower, self.item_tower)
        self._keys = {side: [f.key for f in schema.side(side)] for side in ("query", "item")}
        self._multi_valued = {f.key for f in schema.features if f.kind == "multi"}
        self._loss = config.loss
        self._ssl = config.self_supervision
        self._augmentation = config.self_supervision.augmenter
        self._masks = masks
        self._product_dtype = product_dtype
        self._of_all_ranks = of_all_ranks

    def forward(self, batch: Batch) -> LossTerms:
        """The loss of a batch."""
        pooled: KeyedTensor = self.embedding_bags(batch.features)
        queries, items = self._inputs(pooled, batch)
        with torch.autocast(
            queries[1].device.type,
            dtype=self._product_dtype or torch.bfloat16,
            enabled=self._product_dtype is not None,
        ):
            query_vectors = self.query_tower(*queries)
            # One pass of the later layers for all that the batch knows of items.
            first_layers = self._first_layers(*items, batch)
            vectors = self.item_tower.rest(torch.cat(first_layers))

        *num_views, num_rows = map(len, first_layers)
        views, candidates = vectors.split([sum(num_views), num_rows])
        main_loss = self._main_loss(batch, query_vectors, candidates)
        if not self._augmentation.contrasts:
            return LossTerms(main_loss, main_loss, torch.zeros_like(main_loss))
        if not len(views):  # spreading out contrasts the items with themselves
            views = candidates[batch.num_items :][: batch.num_sampled].repeat(2, 1)
        self_loss = view_contrast(
            views[: batch.num_sampled],
            views[batch.num_sampled :],
            temperature=self._ssl.temperature,
            product_dtype=self._product_dtype,
        )
        weight = self._ssl.weight * self._warmth(batch.step)
        return LossTerms(main_loss + weight * self_loss, main_loss, self_loss)

    def _first_layers(
        self, pooled: Inputs, missing: torch.Tensor, batch: Batch
    ) -> list[torch.Tensor]:
        """The first layer of the sampled items' views, and of all items.

        Args:
            pooled, missing: F features of R rows, as a tower has them: of the I items, of one or
                two copies of the M sampled ones, which differ in the values dropped, and of none.
            batch: its mask is drawn.

        Returns:
            Where there are two views, of each `[M, width]`; then of the rows that are looked at
            unmasked, `[padded(num_candidates), width]` or more.
        """
        tower = self.item_tower
        if not self._augmentation.contrasts or not self._augmentation.makes_views:
            return [tower.first(pooled, missing)]
        mask = self._masks.mask(batch.mask_draw)
        ends = [batch.num_items + copy * batch.num_sampled for copy in range(3)]
        first, second = slice(*ends[:2]), slice(*ends[batch.num_copies - 1 :][:2])
        unmasked = slice(padded(batch.num_candidates))
        if batch.num_copies == 1 and mask.is_complementary:
            return tower.first_of_views(pooled, missing, mask, masked=first, unmasked=unmasked)
        features, absent = by_row(pooled, missing)
        return [
            tower.first([values[rows] for values in features], absent[rows], hidden=hidden)
            for rows, hidden in ((first, mask.first), (second, mask.second), (unmasked, None))
        ]

    def _warmth(self, step: int) -> float:
        """The share of alpha that a step applies."""
        return min(1.0, (step + 1) / self._ssl.warmup_steps) if self._ssl.warmup_steps else 1.0

    def _inputs(self, pooled: KeyedTensor, batch: Batch) -> list[tuple[Inputs, torch.Tensor]]:
        """Of queries and of items: each feature's embeddings, and which features are missing.

        Features are taken by name: the order of the keys follows the sharding plan. Dense ones,
        once projected, are features like others.

        Returns:
            For each side F features of its rows, and `[rows, F]`, 1 where there is no value.
        """
        num_rows = {
            "query": padded(batch.num_queries),
            "item": padded(batch.num_items + batch.num_sampled * batch.num_copies),
        }
        keys = pooled.keys()
        dtype = self._product_dtype or pooled.values().dtype
        num_cells = {key: len(cells.starts) for key, cells in batch.repeated.items()}
        lengths = batch.features.lengths().view(-1, batch.features.stride())
        shares = dict(zip(batch.features.keys(), lengths.clamp_min(1).reciprocal(), strict=True))
        parts = _Split.apply(  # type: ignore[no-untyped-call]
            pooled.values(),
            pooled.length_per_key(),
            [num_cells.get(key, num_rows[key.split(".", 1)[0]]) for key in keys],
            [shares[key] if key in self._multi_valued else None for key in keys],
            dtype,
        )
        by_key: dict[str, torch.Tensor | Repeated] = dict(zip(keys, parts, strict=True))
        missing = (lengths == 0).to(dtype).unbind()
        absent = dict(zip(batch.features.keys(), missing, strict=True))
        for key, cells in batch.repeated.items():
            values = by_key[key]
            assert isinstance(values, torch.Tensor)
            by_key[key] = Repeated(values, absent[key][: len(values)], *cells)
        for key, column in batch.dense.items():
            weight = self.projections[self._projected[key]]
            by_key[key] = functional.linear(column.values.to(dtype), weight.to(dtype))
            absent[key] = column.missing.to(dtype)
        return [
            (
                [by_key[key] for key in keys],
                torch.stack([absent[key][: num_rows[side]] for key in keys], dim=1),
            )
            for side, keys in self._keys.items()
        ]

    def _main_loss(
        self, batch: Batch, query_vectors: torch.Tensor, candidates: torch.Tensor
    ) -> torch.Tensor:
        if self._of_all_ranks is not None:
            candidates = self._of_all_ranks(candidates, len(batch.candidate_repeats))
        # What is no candidate (padding, a second copy) counts for nothing.
        surplus = (0, len(candidates) - len(batch.candidate_repeats))
        unborn = None
        if len(batch.late):
            unborn = batch.late, batch.candidate_birth[batch.late] > batch.timestamp[:, None]
        return batch_softmax(
            query_vectors[batch.query],
            candidates,
            positive=batch.item,
            weight=batch.weight,
            total_weight=batch.total_weight,
            temperature=self._loss.temperature,
            repeats=functional.pad(batch.candidate_repeats, surplus),
            excluded=(batch.excluded_example, batch.excluded_candidate),
            unborn=unborn,
            expected=(
                functional.pad(batch.candidate_expected, surplus)
                if self._loss.logq != "none"
                else None
            ),
            logq_strength=self._loss.logq_strength,
            correct_positive=self._loss.correct_positive,
            product_dtype=self._product_dtype,
        )


class _Split(torch.autograd.Function):
    """Pooled embeddings by key, each key with the rows that it has, the sums of some made means.

    Written out because a backward pass through slices fills and adds a gradient of the whole for
    every one of them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        dims: list[int],
        num_rows: list[int],
        shares: list[torch.Tensor | None],
        dtype: torch.dtype,
    ) -> tuple[torch.Tensor, ...]:
        """Of `[rows, sum(dims)]` each key's `[its rows, its dim]`.

        A key's share `[rows]` is what each row is multiplied by, one by its number of values.
        """
        shares = [
            None if share is None else share[:rows, None]
            for share, rows in zip(shares, num_rows, strict=True)
        ]
        ctx.dims, ctx.num_rows, ctx.shares = dims, num_rows, shares
        ctx.shape, ctx.dtype = values.shape, values.dtype
        whole = values.split(dims, dim=1)
        parts = [part[:rows] for part, rows in zip(whole, num_rows, strict=True)]
        return tuple(
            (part if share is None else part * share).to(dtype)
            for part, share in zip(parts, shares, strict=True)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        whole = gradients[0].new_empty(ctx.shape, dtype=ctx.dtype)
        parts = whole.split(ctx.dims, dim=1)
        for part, gradient, rows, share in zip(
            parts, gradients, ctx.num_rows, ctx.shares, strict=True
        ):
            if share is None:
                part[:rows] = gradient
            else:
                torch.mul(gradient, share, out=part[:rows])
            part[rows:] = 0.0
        return whole, *[None] * 4


def _tower(schema: Schema, side: Side, config: Config) -> Tower:
    dims = [feature.dim for feature in schema.side(side)]
    return Tower(dims, config.model.hidden, config.model.output_dim)


@torch.no_grad()
def _start_alike(schema: Schema, query_tower: Tower, item_tower: Tower) -> None:
    """Give the item tower the query tower's initial weights, as far as their features correspond.

    Features that share a table or a projection correspond in order. A query is then near the items
    that it has values in common with before anything is learned, which is what cold items live on.
    """
    for before, after in zip(query_tower.layers, item_tower.layers, strict=True):
        after.load_state_dict(before.state_dict())
    item_tower.input_layer.bias.copy_(query_tower.input_layer.bias)
    for features in [*schema.tables.values(), *schema.projections.values()]:
        sides = [[f for f in features if f.side == side] for side in ("query", "item")]
        for query_feature, item_feature in zip(*sides, strict=False):
            source = query_tower.columns(schema.query.index(query_feature))
            target = item_tower.columns(schema.item.index(item_feature))
            item_tower.default[target] = query_tower.default[source]
            item_tower.input_layer.weight[:, target] = query_tower.input_layer.weight[:, source]
