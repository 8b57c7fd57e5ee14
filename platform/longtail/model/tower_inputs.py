"""The inputs of both towers: the looked-up embeddings of a batch, feature by feature."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torchrec.sparse.jagged_tensor import KeyedTensor

from longtail.dataset.batch import Batch
from longtail.dataset.candidates import padded
from longtail.features.schema import Schema, Side
from longtail.model.kernels.split_by_feature import split_by_feature
from longtail.model.repeated_features import Inputs, Repeated


class TowerInput(NamedTuple):
    """The input of one tower: the arguments of `Tower.forward`, in their order.

    Attributes:
        pooled: F features of R rows, in the order of the schema.
        missing: `[R, F]`, 1 where a feature has no value, else 0.
    """

    pooled: Inputs
    missing: torch.Tensor


class TowerInputs:
    """Makes the inputs of both towers from the sums that the embedding bags return.

    Args:
        schema: the features of both sides.
        projections: `[dim, length]` by table, for dense features. They stay the model's parameters.
        product_dtype: the dtype of the towers' matrix products; None is that of the embeddings.
    """

    def __init__(
        self,
        schema: Schema,
        projections: nn.ParameterDict,
        product_dtype: torch.dtype | None = None,
    ) -> None:
        self._keys: dict[Side, list[str]] = {
            "query": [feature.key for feature in schema.query],
            "item": [feature.key for feature in schema.item],
        }
        self._multi_valued = {f.key for f in schema.features if f.kind == "multi"}
        self._projected = {f.key: f.table for f in schema.features if f.is_dense}
        self._projections = projections
        self._product_dtype = product_dtype

    def __call__(self, pooled: KeyedTensor, batch: Batch) -> tuple[TowerInput, TowerInput]:
        """Return the inputs of the query tower and of the item tower.

        Args:
            pooled: `[stride, sum of dims]`, the summed embeddings of each feature.
            batch: the batch that they were looked up for.
        """
        dtype = self._product_dtype or pooled.values().dtype
        num_rows: dict[Side, int] = {
            "query": padded(batch.num_queries),
            "item": padded(batch.num_items + batch.num_sampled * batch.num_copies),
        }
        keys = batch.features.keys()
        lengths = batch.features.lengths().view(-1, batch.features.stride())
        embeddings: dict[str, torch.Tensor | Repeated] = {
            **self._split(pooled, batch, lengths, num_rows, dtype)
        }
        missing = dict(zip(keys, (lengths == 0).to(dtype).unbind(), strict=True))

        # A repeated feature was looked up by cell, so its lengths are those of its cells, too.
        for key, cells in batch.repeated.items():
            values = embeddings[key]
            assert isinstance(values, torch.Tensor)
            embeddings[key] = Repeated(values, missing[key][: len(values)], *cells)
        # Once projected, a dense feature is a feature like any other.
        for key, column in batch.dense.items():
            weight = self._projections[self._projected[key]]
            embeddings[key] = functional.linear(column.values.to(dtype), weight.to(dtype))
            missing[key] = column.missing.to(dtype)

        def input_of(side: Side) -> TowerInput:
            own = self._keys[side]
            absent = torch.stack([missing[key][: num_rows[side]] for key in own], dim=1)
            return TowerInput([embeddings[key] for key in own], absent)

        return input_of("query"), input_of("item")

    def _split(
        self,
        pooled: KeyedTensor,
        batch: Batch,
        lengths: torch.Tensor,
        num_rows: Mapping[Side, int],
        dtype: torch.dtype,
    ) -> dict[str, torch.Tensor]:
        """Return the embeddings of each categorical feature, by key, `[its rows or cells, dim]`.

        Features are taken by name: the order of the pooled keys follows the sharding plan.
        """
        rows_of = {key: num_rows[side] for side, own in self._keys.items() for key in own}
        rows_of |= {key: len(cells.starts) for key, cells in batch.repeated.items()}
        # The bags sum; a feature of many values is the mean of their embeddings.
        scales = dict(zip(batch.features.keys(), lengths.clamp_min(1).reciprocal(), strict=True))
        keys = pooled.keys()
        parts = split_by_feature(
            pooled.values(),
            pooled.length_per_key(),
            [rows_of[key] for key in keys],
            [scales[key] if key in self._multi_valued else None for key in keys],
            dtype,
        )
        return dict(zip(keys, parts, strict=True))
