"""The work of each rank in the tests of resuming at another number of ranks."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from longtail.config import Config
from longtail.dataset.batch_builder import BatchBuilder
from longtail.training.checkpoint import Checkpointer
from longtail.training.interruption import StopRequest, TrainingInterruptedError
from longtail.training.loop import train
from longtail.training.loss_meter import Meter
from longtail.training.optimization.schedule import Schedule
from longtail.training.reports import JsonLines
from tests.training.ranks import SETTINGS
from tests.training.small_training import CPU, SmallTraining, small_config

NAMES = ("table_wise", "mixed")


class StopsAtStep(JsonLines):
    """A training log that sends SIGTERM to its own process when a step is written.

    Args:
        file: the log's file.
        step: the signal comes when the record of this step is written.
    """

    def __init__(self, file: Path, step: int) -> None:
        super().__init__(file)
        self._step = step

    def write(self, record: dict[str, Any]) -> None:
        super().write(record)
        if record["step"] == self._step:
            os.kill(os.getpid(), signal.SIGTERM)


def run(rank: int, world_size: int, folder: str, stop_at: int) -> None:
    """Run one start of one rank for each kind of sharding, and write its results.

    It resumes, measures a loss, trains until it is told to stop, and measures again.
    """
    os.environ["LOCAL_WORLD_SIZE"] = str(world_size)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    place = Path(folder)
    store = dist.FileStore(str(place / f"store-{world_size}-{stop_at}"), world_size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
    told = {}
    for name in NAMES:
        config = small_config(place / "home", **SETTINGS[name])
        training = SmallTraining(
            config, world_size=world_size, rank=rank, plan_file=place / f"plan-{name}.json"
        )
        # The first start writes its checkpoint at once, the others in the background.
        checkpointer = Checkpointer(
            place / name, training.model, training.optimizer, keep=9, asynchronous=stop_at != 4
        )
        loaded = checkpointer.resume()
        before = loss_of_one_batch(training, config)
        group = dist.new_group(backend="gloo")
        stop = StopRequest(group)
        meter = Meter(
            training.builder.examples,
            log_every_steps=1,
            device=CPU,
            group=group,
            reports=StopsAtStep(place / f"{name}-{rank}.jsonl", stop_at if rank == 0 else -1),
            last_good=checkpointer.last_good,
        )
        # The signal comes while the loop runs, and all ranks must stop at the same step.
        stopped = False
        try:
            with stop.heeding_signals():
                train(
                    training.model,
                    training.optimizer,
                    training.builder,
                    checkpointer,
                    meter,
                    stop,
                    Schedule(
                        training.model,
                        training.optimizer,
                        config.training,
                        num_examples=training.builder.examples.num_examples,
                        num_epochs=5,
                    ),
                    num_epochs=5,
                    checkpoint_every_steps=100,
                    device=CPU,
                )
        except TrainingInterruptedError:
            stopped = True
        told[name] = {
            "loaded": loaded.to_json(),
            "before": before,
            "after": loss_of_one_batch(training, config),
            "stopped": stopped,
        }
    (place / f"told-{stop_at}-{rank}.json").write_text(json.dumps(told))
    dist.barrier()
    dist.destroy_process_group()


def loss_of_one_batch(training: SmallTraining, config: Config) -> float:
    """Return the loss of the same 60 examples, at any number of ranks."""
    builder = BatchBuilder(training.training_set, config)
    batch = builder.build(np.arange(60), np.ones(60, bool), step=0)
    with torch.no_grad():
        return float(training.model(batch).total)
