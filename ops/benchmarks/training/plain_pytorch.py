"""The reference: a two-tower model in plain PyTorch, as a good engineer would write it.

It has the same features, tables and towers: one `nn.EmbeddingBag(sparse=True)` per table, sparse
Adagrad, in-batch negatives with logQ correction and without accidental hits of the batch. A
background thread collates batches, without a Python loop over rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from longtail.dataset.sampler import ExampleSampler
from longtail.features.schema import Feature
from longtail.training.loop import prefetched
from training.work import Work

Bags = dict[str, tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class PlainBatch:
    """One batch.

    Attributes:
        bags: values and offsets by feature key.
        item: `[B]` item ids.
        log_q: `[B]` logQ of the items.
    """

    bags: Bags
    item: torch.Tensor
    log_q: torch.Tensor


class PlainTwoTower(nn.Module):
    """Two towers over embedding bags.

    Args:
        work: read are its schema, row counts and model settings.
    """

    def __init__(self, work: Work) -> None:
        super().__init__()
        schema, model = work.training_set.schema, work.config.model
        self.schema = schema
        # One table for all features that share it, of both sides.
        self.tables = nn.ModuleDict(
            {
                name: nn.EmbeddingBag(
                    work.num_rows[name],
                    features[0].dim,
                    mode="mean",
                    sparse=True,
                    include_last_offset=True,
                )
                for name, features in schema.tables.items()
            }
        )
        towers = {}
        for side in ("query", "item"):
            width = sum(feature.dim for feature in schema.side(side))
            layers: list[nn.Module] = []
            for hidden in model.hidden:
                layers += [nn.Linear(width, hidden), nn.ReLU()]
                width = hidden
            towers[side] = nn.Sequential(*layers, nn.Linear(width, model.output_dim))
        self.towers = nn.ModuleDict(towers)

    def pooled(self, features: tuple[Feature, ...], bags: Bags) -> torch.Tensor:
        """Return the embeddings of one side's features side by side, `[B, sum(dims)]`."""
        return torch.cat([self.tables[f.table](*bags[f.key]) for f in features], dim=1)

    def forward(self, batch: PlainBatch, temperature: float) -> torch.Tensor:
        """Return the loss of a batch."""
        query, item = (
            functional.normalize(self.towers[side](self.pooled(features, batch.bags)), dim=1)
            for side, features in (("query", self.schema.query), ("item", self.schema.item))
        )
        logits = query @ item.T / temperature - batch.log_q
        same = batch.item[:, None] == batch.item
        same.fill_diagonal_(False)
        logits = logits.masked_fill(same, float("-inf"))
        return functional.cross_entropy(logits, torch.arange(len(logits)))


class Plain:
    """Steps of the reference.

    Args:
        work: the training set and its configuration.
        batch_size: examples per step.
    """

    def __init__(self, work: Work, batch_size: int) -> None:
        self._work, self._batch_size = work, batch_size
        self.model = PlainTwoTower(work)
        training = work.config.training
        self.optimizers = [
            torch.optim.Adagrad(self.model.tables.parameters(), lr=training.table_learning_rate),
            torch.optim.Adagrad(self.model.towers.parameters(), lr=training.tower_learning_rate),
        ]
        self._batches = prefetched(self.batches())

    def run(self, num_steps: int) -> None:
        """Train for some steps."""
        # Our trainer repeats bit by bit; plain PyTorch is spared the cost of that.
        torch.use_deterministic_algorithms(False)
        for _ in range(num_steps):
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            loss = self.model(next(self._batches), self._work.config.loss.temperature)
            loss.backward()
            for optimizer in self.optimizers:
                optimizer.step()
        torch.use_deterministic_algorithms(True)

    def batches(self) -> Iterator[PlainBatch]:
        """Yield batches of the examples that our trainer sees, epoch after epoch."""
        data = self._work.training_set
        sampler = ExampleSampler(
            len(data.train), self._batch_size, 1, 0, self._work.config.training.seed
        )
        share = data.train_count / data.train_count.sum()
        log_q = np.log(np.maximum(share * self._batch_size, 1e-12)).astype(np.float32)
        epoch = 0
        while True:
            order = sampler.epoch_order(epoch)
            for step in range(sampler.steps_per_epoch):
                examples, _ = sampler.batch(order, step)
                item_rows = data.train.item_row[examples]
                item = data.item_of_row[item_rows]
                # Gather a side's values at once, then cut them into features.
                bags: Bags = {}
                for features, rows, chosen in (
                    (data.schema.query, data.query_rows, data.train.query_row[examples]),
                    (data.schema.item, data.item_rows, item_rows),
                ):
                    values, lengths = rows.columns(chosen)
                    ends = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))])
                    for i, feature in enumerate(features):
                        offsets = np.concatenate([[0], np.cumsum(lengths[i])])
                        bags[feature.key] = (
                            torch.from_numpy(values[ends[i] : ends[i + 1]].astype(np.int64)),
                            torch.from_numpy(offsets),
                        )
                yield PlainBatch(bags, torch.from_numpy(item), torch.from_numpy(log_q[item]))
            epoch += 1
