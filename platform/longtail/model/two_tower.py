"""The two-tower model: one lookup of all features, two towers, and the loss of a batch.

Main loss and self-supervised loss are those of Yao et al. 2021 (arXiv 2007.12865). METHOD.md has
the formulas.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torchrec.modules.embedding_configs import EmbeddingBagConfig, PoolingType
from torchrec.sparse.jagged_tensor import KeyedTensor

from longtail.augmentation.masks import Masks
from longtail.config import Config
from longtail.dataset.batch import Batch
from longtail.features.schema import Schema, Side
from longtail.model.losses import batch_softmax, view_contrast
from longtail.model.masked_views import encode_items
from longtail.model.projections import projections
from longtail.model.tower_inputs import TowerInputs
from longtail.model.towers import Tower


class LossTerms(NamedTuple):
    """The loss of one batch and its parts, scalars.

    A tuple, because DistributedDataParallel looks for the tensors of an output in the containers
    that torch knows: in a dataclass it finds none, and then averages no gradient between ranks.
    """

    total: torch.Tensor
    main: torch.Tensor
    self_supervised: torch.Tensor


def embedding_tables(schema: Schema, num_rows: dict[str, int]) -> list[EmbeddingBagConfig]:
    """Return TorchRec's description of the tables; features that share a table share its weights.

    The tables sum a feature's embeddings, and the model makes means of the sums: with FBGEMM's own
    means an Intel CPU waits at every bag, and a lookup takes twice as long (training/SPEED.md).

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
        config: the sections `model`, `loss` and `self_supervision` are read.
        embedding_bags: maps a KeyedJaggedTensor to a KeyedTensor; TorchRec shards it.
        masks: makes the masks of each step, for the self-supervised task.
        product_dtype: the dtype of the towers' matrix products; None is that of the weights.
        of_all_ranks: gathers the candidates of all ranks. It takes this rank's candidates,
            `[padded(its number), output_dim]`, and how many all ranks have together, and returns
            all of them. None: each rank uses only its own.
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
        if config.model.start_alike:
            _start_alike(schema, self.query_tower, self.item_tower)
        self._inputs = TowerInputs(schema, self.projections, product_dtype)
        self._loss = config.loss
        self._ssl = config.self_supervision
        self._augmentation = config.self_supervision.augmenter
        self._masks = masks
        self._product_dtype = product_dtype
        self._of_all_ranks = of_all_ranks

    def forward(self, batch: Batch) -> LossTerms:
        """Return the loss of a batch: L = L_main + alpha * L_self."""
        output_dim = self.query_tower.output_dim
        embeddings: KeyedTensor = self.embedding_bags(batch.features)
        query_input, item_input = self._inputs(embeddings, batch)
        masks = [self._masks.mask(draw) for draw in batch.mask_draws] if self._makes_views else None
        with self._low_precision_products(query_input.missing.device):
            queries = self.query_tower(*query_input)
            if self.item_tower.bias_head is not None:
                # One number more: an inner product is then the cosine and the item's bias.
                queries = functional.pad(queries, (0, 1), value=1.0)
            # Masks are applied in masked_views.py; the unmasked items are the candidates.
            views, candidates = encode_items(self.item_tower, item_input, batch, masks)

        main_loss = self._main_loss(batch, queries, candidates)
        if not self._augmentation.contrasts:
            return LossTerms(main_loss, main_loss, torch.zeros_like(main_loss))
        if not self._makes_views:
            # Spreading out: the sampled items themselves are both of their views.
            views = candidates[batch.view_rows[0]].repeat(2, 1)
        # Without the bias: how popular an item is says nothing of what it is like.
        self_loss = self._self_supervised_loss(batch, views[:, :output_dim])
        alpha = self._ssl.weight * self._warmth(batch.step)
        return LossTerms(main_loss + alpha * self_loss, main_loss, self_loss)

    @property
    def _makes_views(self) -> bool:
        """Return whether the sampled items get two views of their own."""
        return self._augmentation.contrasts and self._augmentation.makes_views

    def _low_precision_products(self, device: torch.device) -> torch.autocast:
        """Return the context in which matrix products have the product dtype, if one is set."""
        return torch.autocast(
            device.type,
            dtype=self._product_dtype or torch.bfloat16,
            enabled=self._product_dtype is not None,
        )

    def _main_loss(
        self, batch: Batch, query_vectors: torch.Tensor, candidates: torch.Tensor
    ) -> torch.Tensor:
        """Return L_main, the batch softmax of each example's query over the candidates.

        Args:
            batch: the batch.
            query_vectors: `[padded(Q), output_dim]`, or one number more with `model.item_bias`.
            candidates: this rank's candidates, as long, then rows that are none.
        """
        num_candidates = len(batch.candidate_repeats)
        if self._of_all_ranks is not None:
            candidates = self._of_all_ranks(candidates, num_candidates)
        # Rows after the candidates (padding, a second copy) are repeated zero times.
        surplus = (0, len(candidates) - num_candidates)
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
            positive_is_certain=self._loss.logq_positive == "certain",
            product_dtype=self._product_dtype,
        )

    def _self_supervised_loss(self, batch: Batch, views: torch.Tensor) -> torch.Tensor:
        """Return L_self, the contrast of the two views of the sampled items.

        Args:
            batch: the batch.
            views: `[2 * M, output_dim]`, all first views, then all second ones.
        """
        return view_contrast(
            views[: batch.num_sampled],
            views[batch.num_sampled :],
            temperature=self._ssl.temperature,
            product_dtype=self._product_dtype,
        )

    def _warmth(self, step: int) -> float:
        """Return the share of alpha that a step applies."""
        return min(1.0, (step + 1) / self._ssl.warmup_steps) if self._ssl.warmup_steps else 1.0


def _tower(schema: Schema, side: Side, config: Config) -> Tower:
    dims = [feature.dim for feature in schema.side(side)]
    model = config.model
    return Tower(
        dims,
        model.hidden,
        model.output_dim,
        dropout=model.dropout,
        has_bias=side == "item" and model.item_bias == "learned",
    )


@torch.no_grad()
def _start_alike(schema: Schema, query_tower: Tower, item_tower: Tower) -> None:
    """Give the item tower the query tower's initial weights, as far as their features correspond.

    Features that share a table or a projection correspond in order. A query is then near the items
    that it shares values with before anything is learned, and cold items live on that.
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
