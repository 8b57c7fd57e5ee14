"""The batch of one rank and step, as tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor


class DenseColumn(NamedTuple):
    """A dense feature of the rows of one side.

    Attributes:
        values: `[rows, length]` float32, zero where a row has no value.
        missing: `[rows]` bool, true where a row has no value.
    """

    values: torch.Tensor
    missing: torch.Tensor


class RepeatedCells(NamedTuple):
    """A single-valued feature of R rows of one side that share few distinct cells.

    Attributes:
        of_row: `[padded(R)]` int64, the cell of each row; "no value" is a cell, too.
        rows: `[R]` int64, the rows ordered by cell.
        starts: `[padded(cells)]` int64, where the rows of each cell start in `rows`.
    """

    of_row: torch.Tensor
    rows: torch.Tensor
    starts: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """The examples, items and candidates that one rank trains on in one step.

    Popular queries and items repeat inside a batch, so each distinct row stands once: N examples
    have Q distinct query rows and I distinct item rows. M sampled catalogue items follow the I
    items, once or twice. The rank's own candidates are the I items and, with mixed negatives, the M
    sampled ones. C is their number. With negatives across ranks, C counts the candidates of all
    ranks, and each rank's are filled up to as many rows as any other's.

    Attributes:
        features: the categorical features. Keys are `query.<name>`, then `item.<name>`; the stride
            is `padded(max(Q, I + num_copies * M))`. A side's rows come first (of a repeated feature
            its cells), and the rest of the stride is empty.
        repeated: the features that are looked up once for each distinct cell, by key.
        dense: the dense features, by key; `padded(Q)` rows or `padded(I + num_copies * M)`.
        query: `[N]` int64, position of each example's query among the Q.
        item: `[N]` int64, position of each example's item among the C.
        weight: `[N]` float32, zero for examples that only fill up the batch.
        total_weight: scalar float32 that the loss divides by: the sum of the weights, or with
            negatives across ranks the mean of the ranks' sums.
        timestamp: `[N]` int64, microseconds.
        candidate_birth: `[C]` int64, microseconds: a candidate is no negative of examples that are
            older than it.
        late: `[L]` int64, the candidates that were born after the batch's earliest example; empty
            where `loss.unborn_negatives` lets them be negatives.
        candidate_repeats: `[C]` float32, examples of its rank that have this item row; for a
            sampled one 1, or the weight of cold negatives; 0 where there is no candidate.
        candidate_expected: `[C]` float32, how often the item is expected among the candidates.
        excluded_example, excluded_candidate: `[E]` int64, pairs that are accidental hits: the
            candidate is the example's own item or, by `loss.accidental_hits`, any training positive
            of its query.
        num_queries, num_items, num_sampled: Q, I, M.
        num_candidates: candidates of this rank.
        num_copies: 2 where each view of the sampled items has its own dropped values, else 1.
        step: the global step.
        mask_draws: random numbers that choose this step's masks, the same on every rank. Each
            mask is that of an equal share of the sampled items, in their order.
    """

    features: KeyedJaggedTensor
    repeated: Mapping[str, RepeatedCells]
    dense: Mapping[str, DenseColumn]
    query: torch.Tensor
    item: torch.Tensor
    weight: torch.Tensor
    total_weight: torch.Tensor
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
    num_candidates: int
    num_copies: int
    step: int
    mask_draws: tuple[int, ...]

    @property
    def view_rows(self) -> tuple[slice, slice]:
        """The item rows of the sampled items' first view, and those of their second view.

        They are the same rows where there is one copy of the sampled items.
        """
        first = slice(self.num_items, self.num_items + self.num_sampled)
        if self.num_copies == 1:
            return first, first
        return first, slice(first.stop, first.stop + self.num_sampled)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Batch":
        """Return the batch on another device."""
        return self._mapped(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory: its copy to a CUDA device can overlap."""
        return self._mapped(lambda value: value.pin_memory())

    def record_stream(self, stream: torch.Stream) -> None:
        """Keep the tensors alive until `stream` has used them (TorchRec's pipelines ask)."""

        def record(value: Any) -> Any:
            value.record_stream(stream)
            return value

        self._mapped(record)

    def _mapped(self, change: Callable[[Any], Any]) -> "Batch":
        """Return the batch with every tensor changed."""
        changed: dict[str, Any] = {
            "repeated": {
                key: RepeatedCells(*map(change, cells)) for key, cells in self.repeated.items()
            },
            "dense": {key: DenseColumn(*map(change, column)) for key, column in self.dense.items()},
        }
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in changed and not isinstance(value, int | tuple):
                changed[field.name] = change(value)
        return replace(self, **changed)
