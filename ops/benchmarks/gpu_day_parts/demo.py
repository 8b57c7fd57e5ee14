"""Trains an encoded training set to its end on the device: examples/s, and recall@50 on its test.

`--training-set` names the folder `runs/<day>/training_set` of a project, as `longtail dataset`
wrote it. Beside it must be `vocabularies/stamp.json` (the rows of each table), and there should be
`correlations/correlations.json` (the masks; without it features count as uncorrelated):

    day/training_set/*.arrow, schema.json
    day/vocabularies/stamp.json
    day/correlations/correlations.json

To pack them, in the folder `runs/<day>`:

    tar -cJf day.tar.xz training_set vocabularies/stamp.json correlations/correlations.json

The configuration is the demo's (`ops/profiles/demo.yaml`): all defaults, five epochs. Compare the
recall with that of `longtail evaluate` after a cold start on the same day.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from gpu_day_parts.day import Day, Skipped
from gpu_day_parts.small_training import Training, device_of, one_rank
from training.work import Work

from longtail.artifacts import read_json
from longtail.augmentation.masking_plan import MaskingPlan, masking_plan
from longtail.config import Config, TrainingConfig
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.training_set import TrainingSet, load_training_set
from longtail.encoder.torch_encoder import Encoder
from longtail.evaluation.encoder_ranks import encode_and_rank
from longtail.evaluation.held_out import held_out_pairs
from longtail.evaluation.metrics import retrieval_metrics
from longtail.training.checkpoint import Checkpointer
from longtail.training.checkpoint_files import newest_checkpoint
from longtail.training.encoder_bundle import read_encoder
from longtail.training.interruption import StopRequest
from longtail.training.loop import train
from longtail.training.loss_meter import Meter
from longtail.training.optimization.schedule import Schedule

_EPOCHS = 5


def measure(day: Day) -> None:
    """Train as a training run does, checkpoints and reports included, and evaluate.

    Raises:
        Skipped: no training set was given.
    """
    if day.training_set is None:
        raise Skipped("no --training-set was given")
    device = device_of(day.device_type)
    work = _load(day.training_set)
    training_set = work.training_set
    day.record(
        num_examples=len(training_set.train),
        num_items=len(training_set.item_ids),
        num_epochs=_EPOCHS,
        batch_size=work.config.training.batch_size,
    )
    with tempfile.TemporaryDirectory(dir=day.folder) as folder, one_rank(device):
        result, encoder = _train(day, work, device, Path(folder))
        day.record(**result)
        day.say(f"{result['examples_per_second']:.0f} examples/s, loss {result['final_loss']:.4f}")
        day.record(**_recall(work, training_set, encoder))


def _load(folder: Path) -> Work:
    """Load what a training set's folder and its neighbours hold."""
    training_set = load_training_set(folder)
    num_rows = read_json(folder.parent / "vocabularies" / "stamp.json")["num_rows"]
    correlations = folder.parent / "correlations" / "correlations.json"
    names = [feature.name for feature in training_set.schema.item]
    if correlations.is_file():
        plan = MaskingPlan.from_json(read_json(correlations))
    else:
        plan = masking_plan(names, np.eye(len(names)))
    config = Config(feature_repo=Path(), training=TrainingConfig(num_epochs=_EPOCHS))
    return Work(training_set, config, num_rows, plan)


class _Progress:
    """Reports that are one line of progress for people, from time to time."""

    def __init__(self, day: Day) -> None:
        self._day = day

    def begin(self, step: int) -> dict[str, Any]:
        """Return what is known of earlier steps: nothing."""
        del step
        return {}

    def write(self, record: dict[str, Any]) -> None:
        """Tell of one interval in twenty, and keep the speed so far."""
        self._day.record(step=record["step"], examples_per_second=record["examples_per_second"])
        if record["step"] % 400 == 0:
            loss, left = record["loss"], record["seconds_left"]
            self._day.say(f"step {record['step']}: loss {loss:.4f}, {left:.0f} s left")

    def warn(self, step: int, message: str) -> None:
        """Tell of a warning."""
        self._day.say(f"step {step}: {message}")

    def close(self) -> None:
        """Do nothing."""


def _train(
    day: Day, work: Work, device: torch.device, folder: Path
) -> tuple[dict[str, Any], Encoder]:
    """Train to the end. Return the run's result, and the encoder of its last checkpoint."""
    training = Training(work, device)
    control = dist.new_group(backend="gloo")
    checkpointer = Checkpointer(folder, training.model, training.optimizer, keep=1)
    builder = BatchBuilder(work.training_set, training.config)
    meter = Meter(
        builder.examples,
        log_every_steps=training.config.training.log_every_steps,
        device=device,
        group=control,
        reports=_Progress(day),
        last_good=checkpointer.last_good,
    )
    result = train(
        training.model,
        training.optimizer,
        builder,
        checkpointer,
        meter,
        StopRequest(control),
        Schedule(
            training.model,
            training.optimizer,
            training.config.training,
            num_examples=builder.examples.num_examples,
            num_epochs=_EPOCHS,
        ),
        num_epochs=_EPOCHS,
        checkpoint_every_steps=training.config.training.checkpoint_every_steps,
        device=device,
    )
    encoder = read_encoder(work.training_set.schema, training.config, newest_checkpoint(folder))
    return result, encoder


def _recall(work: Work, training_set: TrainingSet, encoder: Encoder) -> dict[str, float]:
    """Return recall@50 on the test part over the whole catalogue, and its standard error."""
    pairs = held_out_pairs(training_set, "test")
    if not len(pairs.pair_item):
        return {"num_test_pairs": 0}
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    ranks = encode_and_rank(
        encoder,
        training_set,
        pairs,
        query_batch_size=work.config.evaluation.query_batch_size,
    )
    recall = retrieval_metrics(ranks, pairs.pair_query)["recall@50"]
    error = float(np.sqrt(recall * (1 - recall) / len(ranks)))
    return {"recall@50": recall, "recall@50_error": error, "num_test_pairs": len(ranks)}
