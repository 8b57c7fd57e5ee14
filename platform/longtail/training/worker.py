"""One rank of a training run. torchrun starts it (see `longtail.training.launch`)."""

import argparse
import logging
import os
import sys
import traceback
from datetime import date
from pathlib import Path

import torch
import torch.distributed as dist

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.augmentation.masking_plan import MaskingPlan
from longtail.config import Config, load_config
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.training_set import load_training_set
from longtail.errors import LongtailError
from longtail.features.vocabulary import load_vocabularies
from longtail.fingerprints import required_stamp
from longtail.training.checkpoint import Checkpointer
from longtail.training.checkpoint_files import PROGRESS, checkpoints
from longtail.training.checkpoint_selection import checkpoint_score, chosen_checkpoints
from longtail.training.encoder_bundle import write_encoder
from longtail.training.interruption import StopRequest
from longtail.training.launch.run_outcome import write_outcome
from longtail.training.launch.torchrun_agent import end_with_parent
from longtail.training.loop import train
from longtail.training.loss_meter import Meter
from longtail.training.optimization.early_stopping import EarlyStopping
from longtail.training.optimization.schedule import Schedule
from longtail.training.process_setup import prepare_cpu
from longtail.training.reports import JsonLines, NoReports, Reports, Several, TensorBoard
from longtail.training.sharding.sharded_model import build_model
from longtail.training.step_profile import StepProfile
from longtail.training.warm_start import warm_start


def run_rank(config: Config, as_of: date, version: str, parent: str | None) -> None:
    """Train one rank's share. At the end rank 0 writes the encoder bundle and the result.

    Args:
        config: the whole configuration.
        as_of: the day of the training set.
        version: the version that is trained.
        parent: the version of a warm start. None: a cold start.

    Raises:
        LongtailError: the run ended early, on all ranks together.
    """
    device = _device()
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    control = dist.new_group(backend="gloo")
    stop = StopRequest(control)
    with stop.heeding_signals():
        result = _train(config, as_of, version, parent, device, control, stop)
        # `training.json` is written last: it says that the version is trained.
        if dist.get_rank() == 0:
            paths = VersionPaths(config, version)
            chosen = chosen_checkpoints(paths, config)
            write_encoder(paths, config, *chosen)
            write_json(paths.training, {**result, **_described(chosen)})
        dist.barrier(control)
    dist.destroy_process_group()


def _train(
    config: Config,
    as_of: date,
    version: str,
    parent: str | None,
    device: torch.device,
    control: dist.ProcessGroup,
    stop: StopRequest,
) -> dict[str, str | float | int | None]:
    """Build everything and train. Return the content of `training.json`."""
    # Threads are shared by the ranks of a machine, and set before the first operator runs.
    rank, world_size = dist.get_rank(), dist.get_world_size()
    threads = config.training.threads_per_rank or max(1, (os.cpu_count() or 1) // world_size)
    if device.type == "cpu":
        prepare_cpu(threads)
    else:
        torch.set_num_threads(threads)

    # The inputs are the day's training set, and what the launcher put into the version's folder.
    run, paths = RunPaths(config, as_of), VersionPaths(config, version)
    training_set = load_training_set(run.training_set)
    model, optimizer = build_model(
        training_set,
        config,
        num_rows=required_stamp(run.vocabularies, made_by="dataset")["num_rows"],
        plan=MaskingPlan.from_json(read_json(paths.masking_plan)),
        device=device,
        plan_file=paths.folder / "sharding_plan.json",
    )
    checkpointer = Checkpointer(
        paths.checkpoints,
        model,
        optimizer,
        keep=config.training.keep_checkpoints,
        asynchronous=config.checkpoints.asynchronous,
        score=checkpoint_score(config, training_set),
        average_epochs=config.training.average_epochs,
        only_epoch_ends=config.training.goes_by_epochs,
    )
    # Only a first start is warm. A resumed run has its parent's weights in its checkpoint.
    if parent is not None and not checkpoints(paths.checkpoints):
        state = checkpointer.state()
        warm_start(
            state,
            VersionPaths(config, parent),
            load_vocabularies(paths.vocabularies),
            training_set.schema,
        )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optim"])
    # Every rank counts its losses, and rank 0 writes the reports.
    builder = BatchBuilder(training_set, config, world_size=world_size, rank=rank)
    profiled = config.reporting.profile_steps
    meter = Meter(
        builder.examples,
        log_every_steps=config.training.log_every_steps,
        device=device,
        group=control,
        reports=_reports(config, paths) if rank == 0 else NoReports(),
        last_good=checkpointer.last_good,
        profile=StepProfile(paths.folder, profiled) if profiled and rank == 0 else None,
    )
    # A warm start has learned most already, so it has its own number of epochs.
    num_epochs = config.training.num_epochs if parent is None else config.training.warm_start_epochs
    schedule = Schedule(
        model,
        optimizer,
        config.training,
        num_examples=builder.examples.num_examples,
        num_epochs=num_epochs,
    )
    patience = config.training.early_stopping_epochs
    result = train(
        model,
        optimizer,
        builder,
        checkpointer,
        meter,
        stop,
        schedule,
        num_epochs=num_epochs,
        checkpoint_every_steps=config.training.checkpoint_every_steps,
        device=device,
        checkpoint_every_epoch=config.training.goes_by_epochs,
        early_stopping=EarlyStopping(checkpointer, patience) if patience else None,
    )
    return {
        "version": version,
        "as_of": as_of.isoformat(),
        "num_ranks": world_size,
        "num_epochs": num_epochs,
        "parent": parent,
        **result,
    }


def _described(chosen: list[Path]) -> dict[str, float | list[int] | None]:
    """Return what `training.json` says of the checkpoints that became the model."""
    last = read_json(chosen[-1] / PROGRESS)
    return {
        "model_steps": [read_json(checkpoint / PROGRESS)["step"] for checkpoint in chosen],
        "model_epoch": last["epoch"],
        "model_score": last["score"],
    }


def _reports(config: Config, paths: VersionPaths) -> Reports:
    lines = JsonLines(paths.training_log)
    if not config.reporting.tensorboard:
        return lines
    return Several(lines, TensorBoard(config.home / "tensorboard" / paths.version))


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def main() -> None:
    """Parse the launcher's arguments, and run this rank.

    The exit code is 0 also if the ranks decided to end the run early. `launch/run_outcome.py` says
    why.
    """
    end_with_parent()
    parser = argparse.ArgumentParser(prog="longtail.training.worker")
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--as-of", type=date.fromisoformat, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--parent", default=None)
    arguments = parser.parse_args()
    # `force`, because a library set up logging when it was imported.
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("longtail").setLevel(logging.INFO)
    config = load_config(arguments.config)
    try:
        run_rank(config, arguments.as_of, arguments.version, arguments.parent)
    except LongtailError as error:
        sys.stderr.write(f"{error}\n")
        write_outcome(VersionPaths(config, arguments.version).folder, error)
        _end(0)
    except BaseException:
        traceback.print_exc()
        _end(1)


def _end(exit_code: int) -> None:
    """End at once. Threads that wait for a rank that is gone would keep this process alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


if __name__ == "__main__":
    main()
