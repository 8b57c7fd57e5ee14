"""The two-tower model: one lookup of all features, two towers, and the loss of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torchrec.modules.embedding_configs import EmbeddingBagConfig, PoolingType
from torchrec.sparse.jagged_tensor import KeyedTensor

from longtail.config import Config
from longtail.dataset.batches import Batch
from longtail.features.schema import Schema, Side
from longtail.model.augmentation import Mask
from longtail.model.losses import batch_softmax, view_contrast
from longtail.model.towers import Tower


@dataclass(frozen=True)
class LossTerms:
    """The loss of one batch and its parts, scalars."""

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
        masks: what the self-supervised task draws from, one a step.
    """

    def __init__(
        self,
        schema: Schema,
        config: Config,
        embedding_bags: nn.Module,
        masks: Sequence[Mask],
    ) -> None:
        super().__init__()
        self.embedding_bags = embedding_bags
        self.query_tower = _tower(schema, "query", config)
        self.item_tower = _tower(schema, "item", config)
        self._keys = {side: [f.key for f in schema.side(side)] for side in ("query", "item")}
        self._loss = config.loss
        self._ssl = config.self_supervision
        self._masks = list(masks)

    def forward(self, batch: Batch) -> LossTerms:
        """The loss of a batch."""
        pooled: KeyedTensor = self.embedding_bags(batch.features)
        num_item_rows = batch.num_items + batch.num_sampled
        query_vectors = self.query_tower(*self._inputs(pooled, batch, "query", batch.num_queries))

        item_tower = self.item_tower
        filled = item_tower.fill(*self._inputs(pooled, batch, "item", num_item_rows))
        main, sampled = filled[: batch.num_items], filled[batch.num_items :]
        first_layers = [item_tower.first(main)]
        if self._ssl.augmentation != "none":
            mask = self._masks[batch.mask_draw % len(self._masks)]
            unmasked, *views = item_tower.first_by_mask(sampled, mask)
            first_layers += [unmasked, *views] if self._loss.mixed_negatives else views
        elif self._loss.mixed_negatives:
            first_layers += [item_tower.first(sampled)]
        vectors = item_tower.rest(torch.cat(first_layers))

        num_candidates = len(batch.candidate_repeats)
        main_loss = self._main_loss(batch, query_vectors, vectors[:num_candidates])
        if self._ssl.augmentation == "none":
            return LossTerms(main_loss, main_loss, torch.zeros_like(main_loss))
        first_view, second_view = vectors[num_candidates:].split(batch.num_sampled)
        self_loss = view_contrast(first_view, second_view, temperature=self._ssl.temperature)
        return LossTerms(main_loss + self._ssl.weight * self_loss, main_loss, self_loss)

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
            expected=batch.candidate_expected if self._loss.logq == "exact" else None,
            correct_positive=self._loss.correct_positive,
        )


def _tower(schema: Schema, side: Side, config: Config) -> Tower:
    dims = [feature.dim for feature in schema.side(side)]
    return Tower(dims, config.model.hidden, config.model.output_dim)
