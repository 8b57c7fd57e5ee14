"""Trains a small model on this process's rank, from a small project's real files."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longtail.artifacts import RunPaths, read_json
from longtail.augmentation.masking_plan import masking_plan
from longtail.config import (
    ComputeConfig,
    Config,
    SelfSupervisionConfig,
    ShardingConfig,
    TrainingConfig,
)
from longtail.dataset.batch import Batch
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.training_set import load_training_set
from longtail.training.sharding.sharded_model import build_model
from tests.evaluation.small_project import make_config, make_day

DAY = date(2023, 6, 10)
CPU = torch.device("cpu")
PREFIX = "embedding_bags.embedding_bags."


def small_config(home: Path, *, num_packages: int = 40, **sharding: Any) -> Config:
    """Return the configuration of a small project. Its files are made if they do not exist."""
    config = make_config(home).model_copy(
        update={
            "training": TrainingConfig(
                batch_size=64, table_learning_rate=0.05, tower_learning_rate=0.025, seed=7
            ),
            "self_supervision": SelfSupervisionConfig(sample_size=20),
            # float32 is the same on every machine, and comparable with plain PyTorch.
            "compute": ComputeConfig(products="float32"),
            "sharding": ShardingConfig.model_validate(sharding),
        }
    )
    if not RunPaths(config, DAY).training_set.is_dir():
        make_day(config, DAY, num_packages)
    return config


class SmallTraining:
    """The model, optimizer and batches of one rank.

    Args:
        config: from `small_config`.
        world_size, rank: those of the process group.
        plan_file: as in `build_model`.
    """

    def __init__(
        self, config: Config, *, world_size: int = 1, rank: int = 0, plan_file: Path | None = None
    ) -> None:
        self.config = config
        run = RunPaths(config, DAY)
        self.training_set = load_training_set(run.training_set)
        self.num_rows: dict[str, int] = read_json(run.vocabularies / "stamp.json")["num_rows"]
        self.plan = masking_plan([feature.name for feature in self.training_set.schema.item], EYE)
        self.model: Any
        self.optimizer: Any
        self.model, self.optimizer = build_model(
            self.training_set,
            config,
            num_rows=self.num_rows,
            plan=self.plan,
            device=CPU,
            plan_file=plan_file,
        )
        self.model.train()
        self.builder = BatchBuilder(self.training_set, config, world_size=world_size, rank=rank)

    def batches(self, num_epochs: int) -> Iterator[Batch]:
        """Yield all batches of the first epochs."""
        for epoch in range(num_epochs):
            yield from self.builder.epoch(epoch)

    def train(self, num_epochs: int) -> list[float]:
        """Train in the plainest way. Return the total loss of each step."""
        losses = []
        for batch in self.batches(num_epochs):
            self.optimizer.zero_grad()
            loss = self.model(batch).total
            loss.backward()
            self.optimizer.step()
            losses.append(float(loss.detach()))
        return losses


EYE = np.eye(3)
