"""Exchanges the looked-up bags that have values between CPU ranks, and leaves the empty ones out.

A `KeyedJaggedTensor` has a bag for every key and row, and TorchRec sends them all. Here most rows
of most keys are empty: a feature's distinct cells fill only the first rows of its key, a query's
features leave the rows of the items free, and many features have no value. Sender and receiver both
know the empty bags before a vector is sent, from the lengths that came with the indices.

CUDA ranks keep TorchRec's own exchange. The sizes of the messages here follow from the lengths, and
the host would have to wait until a GPU has them.
"""

from dataclasses import dataclass, field
from math import gcd
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.function import once_differentiable
from torchrec.distributed.comm_ops import get_gradient_division
from torchrec.distributed.embedding_sharding import EmbeddingShardingContext
from torchrec.distributed.embedding_types import KJTList
from torchrec.distributed.embeddingbag import (
    EmbeddingBagCollectionContext,
    EmbeddingBagCollectionSharder,
    ShardedEmbeddingBagCollection,
)
from torchrec.distributed.sharding.tw_sharding import TwPooledEmbeddingDist
from torchrec.distributed.types import (
    Awaitable,
    LazyAwaitable,
    NoWait,
    ParameterSharding,
    ShardingEnv,
)
from torchrec.modules.embedding_modules import EmbeddingBagCollection
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor, KeyedTensor


@dataclass
class _Context(EmbeddingBagCollectionContext):  # type: ignore[misc]
    """One batch on its way through the tables.

    Attributes:
        filled: for each sharding type, `[keys, rows]` bool: whether a bag of this rank has values.
            Empty on a single rank and on CUDA.
    """

    filled: list[torch.Tensor] = field(default_factory=list)


class Bags(ShardedEmbeddingBagCollection):  # type: ignore[misc]
    """TorchRec's sharded tables with `FilledBags` as the exchange of whole tables and columns."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        # Whole tables and columns have this exchange. Replicated tables send no bags.
        self._packs = self._device.type == "cpu" and self._env.world_size > 1
        for number, exchange in enumerate(self._output_dists):
            if self._packs and type(exchange) is TwPooledEmbeddingDist:
                self._output_dists[number] = FilledBags(exchange)

    def create_context(self) -> _Context:
        """Return the context of a batch, as TorchRec asks for it."""
        return _Context()

    def input_dist(
        self, ctx: _Context, features: KeyedJaggedTensor
    ) -> Awaitable[Awaitable[KJTList]]:
        """Send the indices, and keep in the context which bags they fill."""
        sent = super().input_dist(ctx, features)
        if not self._packs:
            return sent
        filled = features.lengths().view(-1, features.stride()) > 0
        if self._has_features_permute:
            filled = filled[self._features_order]
        ctx.filled = list(filled.split(self._feature_splits))
        return sent

    def compute_and_output_dist(
        self, ctx: _Context, dist_input: KJTList
    ) -> LazyAwaitable[KeyedTensor]:
        """Look up the bags, and send them to the ranks that asked for them."""
        if self._packs:
            for exchange, own, features in zip(
                self._output_dists, ctx.filled, dist_input, strict=True
            ):
                if isinstance(exchange, FilledBags):
                    exchange.expect(own, features.lengths() > 0)
        return super().compute_and_output_dist(ctx, dist_input)


class BagsSharder(EmbeddingBagCollectionSharder):  # type: ignore[misc]
    """Turns an `EmbeddingBagCollection` into `Bags`."""

    def shard(
        self,
        module: EmbeddingBagCollection,
        params: dict[str, ParameterSharding],
        env: ShardingEnv,
        device: torch.device | None = None,
        module_fqn: str | None = None,
    ) -> Bags:
        """Return the sharded tables, as TorchRec asks for them."""
        return Bags(
            module=module,
            table_name_to_parameter_sharding=params,
            env=env,
            fused_params=self.fused_params,
            device=device,
            qcomm_codecs_registry=self.qcomm_codecs_registry,
            module_fqn=module_fqn,
        )


@dataclass(frozen=True)
class _Route:
    """The places of the filled bags in two grids of pieces, and the counts to send.

    A piece is a part of a bag. All pieces have the same width, which divides every key's dimension.
    One grid has the bags that this rank looked up. The other one has those that it asked for.

    Attributes:
        width: the number of columns of a piece.
        held: int64, the filled pieces among the `[rows of all ranks, keys here]` looked up here.
        held_by_rank: the number of those pieces in each rank's rows.
        own: int64, the filled pieces among this rank's `[rows, keys of all ranks]`.
        own_by_rank: the number of those pieces that each rank looks up.
    """

    width: int
    held: torch.Tensor
    held_by_rank: list[int]
    own: torch.Tensor
    own_by_rank: list[int]


class FilledBags(nn.Module):
    """Replaces TorchRec's exchange of whole grids. Its result is the same, bit by bit.

    Args:
        replaced: TorchRec's exchange, for tables that are whole or cut by columns.
    """

    def __init__(self, replaced: TwPooledEmbeddingDist) -> None:
        super().__init__()
        self._group = replaced._pg
        self._callbacks = replaced._callbacks or []
        self._dims = dims = replaced._emb_dim_per_rank_per_feature
        self._width = gcd(*(dim for of_rank in dims for dim in of_rank))
        # For each rank, the number of pieces of each of its keys.
        self._pieces = [
            torch.tensor([dim // self._width for dim in of_rank], dtype=torch.int64)
            for of_rank in dims
        ]
        self._expected: tuple[torch.Tensor, torch.Tensor] | None = None

    def expect(self, own: torch.Tensor, held: torch.Tensor) -> None:
        """Set which bags the next call exchanges.

        Args:
            own: `[keys of all ranks, rows]` bool, whether a bag of this rank's batch has values.
            held: `[keys here * rows of all ranks]` bool, the same of the bags looked up here.
        """
        self._expected = own, held

    def forward(
        self, looked_up: torch.Tensor, context: EmbeddingShardingContext
    ) -> Awaitable[torch.Tensor]:
        """Exchange the filled bags.

        Args:
            looked_up: `[rows of all ranks, dims here]`, the bags that this rank looked up.
            context: TorchRec's, with the number of rows of each rank.

        Returns:
            `[rows, dims of all ranks]`, the bags of this rank's rows. Empty ones are zero.
        """
        assert self._expected is not None
        (own, held), self._expected = self._expected, None
        route = self._route(own, held, context.batch_size_per_rank)
        shape = [own.shape[1], sum(map(sum, self._dims))]
        pooled = _Exchange.apply(looked_up, shape, route, self._group)  # type: ignore[no-untyped-call]
        for callback in self._callbacks:
            pooled = callback(pooled)
        return NoWait(pooled)

    def _route(self, own: torch.Tensor, held: torch.Tensor, rows_by_rank: list[int]) -> _Route:
        """Return the places of the filled pieces, for masks as `expect` takes them."""
        pieces = [int(of_rank.sum()) for of_rank in self._pieces]
        keys_here = self._pieces[dist.get_rank(self._group)]
        here = _grid(held.view(len(keys_here), sum(rows_by_rank)), keys_here)
        # Pieces arrive rank by rank. Each rank sends them by row, then by key, so the places are
        # listed in that order.
        of_ranks, first = [], 0
        for grid in _grid(own, torch.cat(self._pieces)).split(pieces, dim=1):
            row, piece = grid.nonzero(as_tuple=True)
            of_ranks.append(row * sum(pieces) + (piece + first))
            first += grid.shape[1]
        return _Route(
            width=self._width,
            held=here.flatten().nonzero().squeeze(1),
            held_by_rank=[int(rows.count_nonzero()) for rows in here.split(rows_by_rank)],
            own=torch.cat(of_ranks),
            own_by_rank=[len(of_rank) for of_rank in of_ranks],
        )


def _grid(filled: torch.Tensor, pieces: torch.Tensor) -> torch.Tensor:
    """Turn a mask `[keys, rows]` into `[rows, pieces of all keys]`."""
    by_row = filled.T.contiguous()
    return by_row if len(pieces) == pieces.sum() else by_row.repeat_interleave(pieces, dim=1)


class _Exchange(torch.autograd.Function):
    """Sends filled bags to the ranks that asked for them, and their gradients back."""

    @staticmethod
    def forward(
        ctx: Any, looked_up: torch.Tensor, shape: list[int], route: _Route, group: dist.ProcessGroup
    ) -> torch.Tensor:
        """Return the bags of this rank's rows, in a grid of the given shape."""
        ctx.route, ctx.group, ctx.shape = route, group, looked_up.shape
        sent = looked_up.view(-1, route.width).index_select(0, route.held)
        received = sent.new_empty(len(route.own), route.width)
        dist.all_to_all_single(received, sent, route.own_by_rank, route.held_by_rank, group=group)
        pooled = sent.new_zeros(shape)
        pooled.view(-1, route.width).index_copy_(0, route.own, received)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        route: _Route = ctx.route
        sent = gradient.contiguous().view(-1, route.width).index_select(0, route.own)
        received = sent.new_empty(len(route.held), route.width)
        dist.all_to_all_single(
            received, sent, route.held_by_rank, route.own_by_rank, group=ctx.group
        )
        if get_gradient_division():
            received /= dist.get_world_size(ctx.group)
        # The gradient of an empty bag is never read, because no row of a table belongs to the bag.
        of_lookup = sent.new_empty(ctx.shape)
        of_lookup.view(-1, route.width).index_copy_(0, route.held, received)
        return of_lookup, *[None] * 3
