"""A run goes on at another number of ranks: two, then one, then two."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import multiprocessing

from longtail.artifacts import RunPaths, read_json
from longtail.dataset.training_set import load_training_set
from longtail.training.checkpoint_files import PROGRESS, checkpoints, read_tensors, stored_tensors
from tests.training.sharding.resharding import NAMES, run
from tests.training.small_training import DAY, small_config

pytestmark = pytest.mark.slow  # five processes that import torchrec, one or two at a time

# (ranks, step after which rank 0 gets SIGTERM). The ranks stop after the next step.
STARTS = [(2, 4), (1, 9), (2, 1000)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[dict[str, Any]]]]:
    """Return the folder, and the results of each rank of each start."""
    folder = tmp_path_factory.mktemp("resharding")
    small_config(folder / "home")
    told = []
    for world_size, stop_at in STARTS:
        multiprocessing.spawn(run, (world_size, str(folder), stop_at), nprocs=world_size)
        files = [folder / f"told-{stop_at}-{rank}.json" for rank in range(world_size)]
        told.append([json.loads(file.read_text()) for file in files])
    return folder, told


@pytest.mark.parametrize("name", NAMES)
def test_what_is_loaded_is_what_was_saved(
    name: str, runs: tuple[Path, list[list[dict[str, Any]]]]
) -> None:
    _, told = runs
    for before, after in pairwise(told):
        for rank in after:
            assert rank[name]["before"] == pytest.approx(before[0][name]["after"], abs=1e-5)
            assert abs(rank[name]["before"] - before[0][name]["before"]) > 1e-3  # it has learned
    assert [[rank[name]["stopped"] for rank in start] for start in told] == [
        [True, True],
        [True],
        [False, False],
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_place_in_the_data_is_kept(
    name: str, runs: tuple[Path, list[list[dict[str, Any]]]]
) -> None:
    folder, told = runs
    steps = checkpoints(folder / name)
    first, second, last = (read_json(folder / name / f"step-{step}" / PROGRESS) for step in steps)
    assert [told[start][0][name]["loaded"]["step"] for start in range(3)] == [0, *steps[:2]]
    assert [document["num_ranks"] for document in (first, second, last)] == [2, 1, 2]
    assert (last["epoch"], last["examples"]) == (5, 0)
    # Examples done, in whole steps of the ranks that did them: 128, then 64 a step.
    num_examples = small_examples(folder)
    per_epoch = -(-num_examples // 128)
    epoch, steps_done = divmod(first["step"], per_epoch)
    assert (first["epoch"], first["examples"]) == (epoch, 128 * steps_done)
    records = [json.loads(line) for line in (folder / f"{name}-0.jsonl").read_text().splitlines()]
    told_steps = [record["step"] for record in records if "loss" in record]
    assert told_steps == list(range(1, last["step"] + 1))
    assert [record["step"] for record in records if "resumed" in record] == steps[:2]


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_have_the_same_tensors_at_any_number_of_ranks(
    name: str, runs: tuple[Path, list[list[dict[str, Any]]]]
) -> None:
    folder, _ = runs
    left, right = (folder / name / f"step-{step}" for step in checkpoints(folder / name)[:2])
    names = {n for n in stored_tensors(left) if not n.startswith("random.")}
    assert names == {n for n in stored_tensors(right) if not n.startswith("random.")}
    shapes, others = stored_tensors(left), stored_tensors(right)
    assert all(shapes[n] == others[n] for n in names)
    assert all(torch.isfinite(t).all() for t in read_tensors(right, names).values())


def small_examples(folder: Path) -> int:
    config = small_config(folder / "home")
    return len(load_training_set(RunPaths(config, DAY).training_set).train)
