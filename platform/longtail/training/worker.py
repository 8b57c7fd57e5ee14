"""One rank of a training run; torchrun starts it (see `longtail.training.launch`)."""

import argparse
import logging
import os
from datetime import date
from pathlib import Path

import torch
import torch.distributed as dist

from longtail.artifacts import RunPaths, VersionPaths, read_json, required_stamp, write_json
from longtail.config import Config, load_config
from longtail.dataset.batches import BatchBuilder
from longtail.dataset.training_set import load_training_set
from longtail.features.vocabulary import load_vocabularies
from longtail.training.bundle import write_encoder
from longtail.training.checkpoint import Checkpointer, checkpoints
from longtail.training.loop import train
from longtail.training.sharding import build_model
from longtail.training.warm_start import warm_start


def run_rank(config: Config, as_of: date, version: str, parent: str | None) -> None:
    """Train one rank's share; rank 0 writes the encoder bundle and the result at the end."""
    device = _device()
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    rank, world_size = dist.get_rank(), dist.get_world_size()
    if device.type == "cpu":
        # Otherwise threads add gradients of repeated rows in the order in which they come.
        torch.use_deterministic_algorithms(True)
        # A property of the module object, which the stubs do not know; filling only costs time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(
        config.training.threads_per_rank or max(1, (os.cpu_count() or 1) // world_size)
    )
    run, paths = RunPaths(config, as_of), VersionPaths(config, version)
    training_set = load_training_set(run.training_set)
    model, optimizer = build_model(
        training_set,
        config,
        num_rows=required_stamp(run.vocabularies, made_by="dataset")["num_rows"],
        plan=read_json(paths.masking_plan)["plan"],
        device=device,
    )
    checkpointer = Checkpointer(
        paths.checkpoints, model, optimizer, keep=config.training.keep_checkpoints
    )
    if parent is not None and not checkpoints(paths.checkpoints):
        state = checkpointer.state()
        warm_start(state, VersionPaths(config, parent), load_vocabularies(paths.vocabularies))
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optim"])
    num_epochs = config.training.num_epochs if parent is None else config.training.warm_start_epochs
    result = train(
        model,
        optimizer,
        BatchBuilder(training_set, config, world_size=world_size, rank=rank),
        checkpointer,
        config,
        num_epochs=num_epochs,
        device=device,
        log_file=paths.training_log,
    )
    if rank == 0:
        write_encoder(paths)
        write_json(
            paths.training,
            {
                "version": version,
                "as_of": as_of.isoformat(),
                "num_ranks": world_size,
                "num_epochs": num_epochs,
                "parent": parent,
                **result,
            },
        )
    dist.barrier()
    dist.destroy_process_group()


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def main() -> None:
    """Parse what the launcher gives, and run this rank."""
    parser = argparse.ArgumentParser(prog="longtail.training.worker")
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--as-of", type=date.fromisoformat, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--parent", default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run_rank(load_config(arguments.config), arguments.as_of, arguments.version, arguments.parent)


if __name__ == "__main__":
    main()
