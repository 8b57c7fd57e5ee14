"""Our trainer on one rank and on two: real processes with one thread each, in a gloo group."""

import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing

from longtail.training.process_setup import prepare_cpu
from training.ours import Ours
from training.work import Work


def examples_per_second(work: Work, world_size: int, batch_size: int, num_steps: int) -> float:
    """Return the examples per second of all ranks, over some steps after five that warm up."""
    with tempfile.TemporaryDirectory() as folder:
        context = torch.multiprocessing.get_context("spawn")
        seconds = context.SimpleQueue()
        torch.multiprocessing.spawn(
            _rank,
            args=(world_size, work, batch_size, num_steps, str(Path(folder) / "store"), seconds),
            nprocs=world_size,
        )
        return num_steps * world_size * batch_size / float(seconds.get())


def _rank(
    rank: int,
    world_size: int,
    work: Work,
    batch_size: int,
    num_steps: int,
    store: str,
    seconds: "torch.multiprocessing.SimpleQueue[float]",
) -> None:
    prepare_cpu(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(store, world_size), rank=rank, world_size=world_size
    )
    ours = Ours(work, "ssl", batch_size, world_size=world_size, rank=rank)
    ours.run(5)
    dist.barrier()
    start = time.perf_counter()
    ours.run(num_steps)
    dist.barrier()
    if rank == 0:
        seconds.put(time.perf_counter() - start)
    dist.destroy_process_group()
