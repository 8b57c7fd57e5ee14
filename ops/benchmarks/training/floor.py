"""The parts of a step on distinct rows: its matrix products and its lookups, each alone.

The products are those of every row. Our step has fewer in the first layer, because it multiplies a
cell that rows share only once.
"""

from collections.abc import Callable

import torch
from torch import nn

from longtail.dataset.batch import Batch
from longtail.training.process_setup import product_dtype
from training.ours import CPU, Ours
from training.plain_pytorch import PlainBatch
from training.work import Work

Product = Callable[[], torch.Tensor]


class Lookups:
    """FBGEMM's lookup, gradient and update, for the rows and cells of one batch of ours.

    What TorchRec does around them is left out: the indices are distributed beforehand.
    """

    def __init__(self, ours: Ours, batch: Batch) -> None:
        self._bags = ours.model.module.embedding_bags
        self._context = self._bags.create_context()
        self._indices = self._bags.input_dist(self._context, batch.features).wait().wait()
        self._gradients = [torch.full_like(pooled, 1e-6) for pooled in self._pooled()]

    def run(self, num_steps: int) -> None:
        """Do the lookups and updates of some steps."""
        for _ in range(num_steps):
            torch.autograd.backward(self._pooled(), self._gradients)

    def _pooled(self) -> list[torch.Tensor]:
        pooled: list[torch.Tensor] = self._bags.compute(self._context, self._indices)
        return pooled


class PlainLookups:
    """Lookups of the same examples by `nn.EmbeddingBag(sparse=True)` and sparse Adagrad.

    PyTorch's Adagrad keeps one number per weight: it has no row-wise one for sparse gradients. Bags
    are summed, as ours are.
    """

    def __init__(self, work: Work, batch: PlainBatch) -> None:
        training = work.config.training
        self._bags: list[tuple[nn.EmbeddingBag, torch.Tensor, torch.Tensor]] = []
        tables = {}
        for name, features in work.training_set.schema.tables.items():
            table = nn.EmbeddingBag(
                work.num_rows[name],
                features[0].dim,
                mode="sum",
                sparse=True,
                include_last_offset=True,
            )
            tables[name] = table
            self._bags += [(table, *batch.bags[feature.key]) for feature in features]
        parameters = [table.weight for table in tables.values()]
        self._optimizer = torch.optim.Adagrad(parameters, lr=training.table_learning_rate)

    def run(self, num_steps: int) -> None:
        """Do the lookups and updates of some steps."""
        torch.use_deterministic_algorithms(False)
        for _ in range(num_steps):
            self._optimizer.zero_grad()
            pooled = torch.cat([bag(values, offsets) for bag, values, offsets in self._bags], 1)
            pooled.backward(torch.full_like(pooled, 1e-6))
            self._optimizer.step()
        torch.use_deterministic_algorithms(True)


class Products:
    """The matrix products of a step of ours: towers and logits, forward and backward.

    Every distinct row goes through the whole first layer. The numbers of rows and the precision are
    those of the step. Results go to memory that is reused.
    """

    def __init__(self, ours: Ours, batch: Batch) -> None:
        config = ours.config
        dtype = product_dtype(config, CPU) or torch.float32
        schema = ours.model.module.query_tower, ours.model.module.item_tower
        size = config.training.batch_size
        contrasts = config.self_supervision.augmenter.contrasts
        rows = [batch.num_queries, batch.num_items + batch.num_sampled]
        later_rows = [rows[0], rows[1] + 2 * batch.num_sampled * contrasts]
        self._products: list[Product] = []
        for tower, first, later in zip(schema, rows, later_rows, strict=True):
            self._layer(first, tower.input_layer, dtype)
            for layer in tower.layers:
                self._layer(later, layer, dtype)
        width = config.model.output_dim
        self._scores(size, len(batch.candidate_repeats), width, dtype)
        if contrasts:
            self._scores(batch.num_sampled, batch.num_sampled, width, dtype)

    def run(self, num_steps: int) -> None:
        """Do the products of some steps."""
        for _ in range(num_steps):
            for product in self._products:
                product()

    def _layer(self, num_rows: int, layer: nn.Linear, dtype: torch.dtype) -> None:
        weight = layer.weight.detach().to(dtype)
        inputs = torch.randn(num_rows, layer.in_features).to(dtype)
        gradient = torch.randn(num_rows, layer.out_features).to(dtype)
        self._add(inputs, weight.T)
        self._add(gradient.T, inputs)
        self._add(gradient, weight)

    def _scores(self, num_rows: int, num_columns: int, width: int, dtype: torch.dtype) -> None:
        rows, columns = torch.randn(num_rows, width), torch.randn(num_columns, width)
        slope = torch.randn(num_rows, num_columns).to(dtype)
        self._add(rows, columns.T)
        self._add(slope, columns.to(dtype))
        self._add(slope.T, rows.to(dtype))

    def _add(self, left: torch.Tensor, right: torch.Tensor) -> None:
        out = torch.empty(left.shape[0], right.shape[1], dtype=left.dtype)
        self._products.append(lambda: torch.mm(left, right, out=out))
