"""Trains a model of a few dozen packages in this process, as a rank trains it."""

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.augmentation.masking_plan import masking_plan
from longtail.config import Config, SelfSupervisionConfig, TrainingConfig
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.training_set import TrainingSet, load_training_set
from longtail.training.checkpoint import Checkpointer
from longtail.training.checkpoint_selection import checkpoint_score
from longtail.training.interruption import StopRequest
from longtail.training.loop import train
from longtail.training.loss_meter import Meter
from longtail.training.optimization.early_stopping import EarlyStopping
from longtail.training.optimization.schedule import Schedule
from longtail.training.reports import JsonLines
from longtail.training.sharding.sharded_model import build_model
from tests.evaluation.small_project import make_config, make_day

DAY = date(2023, 6, 10)
CPU = torch.device("cpu")


def make_run_config(folder: Path) -> Config:
    """Return a configuration with few and small steps, and make the files of its day."""
    made = make_config(folder).model_copy(
        update={
            "training": TrainingConfig(
                batch_size=64,
                table_learning_rate=0.05,
                tower_learning_rate=0.025,
                checkpoint_every_steps=3,
                log_every_steps=1,
                seed=7,
            ),
            "self_supervision": SelfSupervisionConfig(sample_size=20),
        }
    )
    make_day(made, DAY, 40)
    return made


class Run:
    """A model in training, with a version folder of its own."""

    def __init__(self, config: Config, version: str, day: date = DAY, *, keep: int = 100) -> None:
        self.config = config
        self.paths = VersionPaths(config, version)
        run = RunPaths(config, day)
        self.training_set: TrainingSet = load_training_set(run.training_set)
        self.paths.checkpoints.mkdir(parents=True, exist_ok=True)
        write_json(self.paths.schema, self.training_set.schema.to_json())
        write_json(self.paths.config, config.model_dump(mode="json"))
        shutil.copytree(run.vocabularies, self.paths.vocabularies, dirs_exist_ok=True)
        names = [feature.name for feature in self.training_set.schema.item]
        self.model, self.optimizer = build_model(
            self.training_set,
            config,
            num_rows=read_json(run.vocabularies / "stamp.json")["num_rows"],
            plan=masking_plan(names, np.eye(len(names))),
            device=CPU,
        )
        self.builder = BatchBuilder(self.training_set, config)
        self.checkpointer = Checkpointer(
            self.paths.checkpoints,
            self.model,
            self.optimizer,
            keep=keep,
            score=checkpoint_score(config, self.training_set),
            average_epochs=config.training.average_epochs,
            only_epoch_ends=config.training.goes_by_epochs,
        )

    def train(self, num_epochs: int) -> dict[str, Any]:
        group = dist.new_group(backend="gloo")
        settings = self.config.training
        patience = settings.early_stopping_epochs
        meter = Meter(
            self.builder.examples,
            log_every_steps=settings.log_every_steps,
            device=CPU,
            group=group,
            reports=JsonLines(self.paths.training_log),
            last_good=self.checkpointer.last_good,
        )
        return train(
            self.model,
            self.optimizer,
            self.builder,
            self.checkpointer,
            meter,
            StopRequest(group),
            Schedule(
                self.model,
                self.optimizer,
                settings,
                num_examples=self.builder.examples.num_examples,
                num_epochs=num_epochs,
            ),
            num_epochs=num_epochs,
            checkpoint_every_steps=settings.checkpoint_every_steps,
            device=CPU,
            checkpoint_every_epoch=settings.goes_by_epochs,
            early_stopping=EarlyStopping(self.checkpointer, patience) if patience else None,
        )

    def losses(self) -> list[float]:
        lines = self.paths.training_log.read_text().splitlines()
        records = [json.loads(line) for line in lines]
        return [record["loss"] for record in records if "loss" in record]
