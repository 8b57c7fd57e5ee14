"""The two-tower model: one lookup of all features, two towers, and the loss of a batch."""

from typing import NamedTuple

import torch
from torch import nn
from torchrec.modules.embedding_configs import EmbeddingBagConfig, PoolingType
from torchrec.sparse.jagged_tensor import KeyedTensor

from longtail.config import Config
from longtail.dataset.batches import Batch
from longtail.features.schema import Schema, Side
from longtail.model.augmentation import Masking
from longtail.model.losses import batch_softmax, view_contrast
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
    """TorchRec's description of the tables; features that share a table share its weights.

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
            pooling=PoolingType.MEAN,
        )
        for table, features in schema.tables.items()
    ]


class TwoTower(nn.Module):
    """Query tower and item tower over shared embedding bags.

    Args:
        schema: the features of both sides.
        config: model, loss and self-supervision sections are read.
        embedding_bags: maps a KeyedJaggedTensor to a KeyedTensor; TorchRec shards it.
        masking: makes the mask of a step, for the self-supervised task.
    """

    def __init__(
        self,
        schema: Schema,
        config: Config,
        embedding_bags: nn.Module,
        masking: Masking,
    ) -> None:
        super().__init__()
        self.embedding_bags = embedding_bags
        self.query_tower = _tower(schema, "query", config)
        self.item_tower = _tower(schema, "item", config)
        if config.model.start_alike:
            _start_alike(schema, self.query_tower, self.item_tower)
        self._keys = {side: [f.key for f in schema.side(side)] for side in ("query", "item")}
        self._loss = config.loss
        self._ssl = config.self_supervision
        self._masking = masking

    def forward(self, batch: Batch) -> LossTerms:
        """The loss of a batch."""
        pooled: KeyedTensor = self.embedding_bags(batch.features)
        query_vectors = self.query_tower(*self._inputs(pooled, batch, "query", batch.num_queries))

        item_tower = self.item_tower
        num_rows = batch.num_items + batch.num_sampled * batch.num_copies
        filled = item_tower.fill(*self._inputs(pooled, batch, "item", num_rows))
        unmasked, *views = self._sampled_layers(filled[batch.num_items :], batch)
        # One pass of the later layers for all that the batch knows of items.
        first_layers = [item_tower.first(filled[: batch.num_items])]
        if self._loss.mixed_negatives or self._ssl.augmentation == "spread_out":
            first_layers.append(unmasked)
        vectors = item_tower.rest(torch.cat(first_layers + views))

        main_loss = self._main_loss(batch, query_vectors, vectors[: len(batch.candidate_repeats)])
        if not self._ssl.contrasts:
            return LossTerms(main_loss, main_loss, torch.zeros_like(main_loss))
        # Spreading out contrasts the items with themselves.
        first_view = vectors[len(vectors) - max(len(views), 1) * batch.num_sampled :]
        first_view, second_view = first_view[: batch.num_sampled], vectors[-batch.num_sampled :]
        self_loss = view_contrast(first_view, second_view, temperature=self._ssl.temperature)
        weight = self._ssl.weight * self._warmth(batch.step)
        return LossTerms(main_loss + weight * self_loss, main_loss, self_loss)

    def _sampled_layers(self, filled: torch.Tensor, batch: Batch) -> list[torch.Tensor]:
        """The first layer of the sampled items: unmasked, and of both views where they differ.

        Args:
            filled: `[num_copies * M, sum(dims)]`; two copies differ in the values dropped.
            batch: its mask is drawn.

        Returns:
            `[M, width]` each: one, or three.
        """
        tower = self.item_tower
        if not self._ssl.contrasts or self._ssl.augmentation == "spread_out":
            return [tower.first(filled)]
        mask = self._masking.mask(batch.mask_draw)
        if batch.num_copies == 1 and mask.is_complementary:
            return list(tower.first_by_mask(filled, mask))
        first, second = filled[: batch.num_sampled], filled[-batch.num_sampled :]
        return [
            tower.first(first),
            tower.first_masked(first, mask.first),
            tower.first_masked(second, mask.second),
        ]

    def _warmth(self, step: int) -> float:
        """The share of alpha that a step applies."""
        return min(1.0, (step + 1) / self._ssl.warmup_steps) if self._ssl.warmup_steps else 1.0

    def _inputs(
        self, pooled: KeyedTensor, batch: Batch, side: Side, num_rows: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A side's pooled embeddings `[num_rows, sum(dims)]` and their presence `[num_rows, F]`.

        Features are taken by name: the order of the keys follows the sharding plan.
        """
        keys = self._keys[side]
        by_key = pooled.to_dict()
        values = torch.cat([by_key[key][:num_rows] for key in keys], dim=1)
        lengths = batch.features.lengths().view(-1, batch.features.stride())
        first = 0 if side == "query" else len(self._keys["query"])
        present = lengths[first : first + len(keys), :num_rows].T > 0
        return values, present

    def _main_loss(
        self, batch: Batch, query_vectors: torch.Tensor, candidates: torch.Tensor
    ) -> torch.Tensor:
        scores = query_vectors[batch.query] @ candidates.T
        excluded = batch.candidate_birth[None, :] > batch.timestamp[:, None]
        excluded[batch.excluded_example, batch.excluded_candidate] = True
        return batch_softmax(
            scores,
            positive=batch.item,
            weight=batch.weight,
            temperature=self._loss.temperature,
            repeats=batch.candidate_repeats,
            excluded=excluded,
            expected=batch.candidate_expected if self._loss.logq != "none" else None,
            logq_strength=self._loss.logq_strength,
            correct_positive=self._loss.correct_positive,
        )


def _tower(schema: Schema, side: Side, config: Config) -> Tower:
    dims = [feature.dim for feature in schema.side(side)]
    return Tower(dims, config.model.hidden, config.model.output_dim)


@torch.no_grad()
def _start_alike(schema: Schema, query_tower: Tower, item_tower: Tower) -> None:
    """Give the item tower the query tower's initial weights, as far as their features correspond.

    Features that share a table correspond in order. A query is then near the items that it has
    values in common with before anything is learned, which is what cold items live on.
    """
    for before, after in zip(query_tower.layers, item_tower.layers, strict=True):
        after.load_state_dict(before.state_dict())
    item_tower.input_layer.bias.copy_(query_tower.input_layer.bias)
    for features in schema.tables.values():
        sides = [[f for f in features if f.side == side] for side in ("query", "item")]
        for query_feature, item_feature in zip(*sides, strict=False):
            source = query_tower.columns(schema.query.index(query_feature))
            target = item_tower.columns(schema.item.index(item_feature))
            item_tower.default[target] = query_tower.default[source]
            item_tower.input_layer.weight[:, target] = query_tower.input_layer.weight[:, source]
