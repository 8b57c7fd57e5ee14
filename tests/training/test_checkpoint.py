"""Checkpoints: the content of those written beside training, those that are kept, and failures."""

import errno
import json
import logging
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.config import CheckpointsConfig, Config, LossConfig
from longtail.encoder.torch_encoder import Encoder, load_encoder
from longtail.errors import InputError, LongtailError
from longtail.training import checkpoint as module
from longtail.training.checkpoint import Checkpointer
from longtail.training.checkpoint_files import checkpoints, read_tensors, stored_tensors
from longtail.training.checkpoint_selection import checkpoint_score, chosen_checkpoints
from longtail.training.encoder_bundle import write_encoder
from longtail.training.launch.training_log import LogTail
from longtail.training.run_progress import Progress
from tests.training.small_run import Run


def all_tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    return read_tensors(checkpoint, stored_tensors(checkpoint))


def assert_equal_bits(left: Path, right: Path) -> None:
    one, other = all_tensors(left), all_tensors(right)
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.usefixtures("one_rank")
def test_written_beside_training_it_equals_one_written_at_once(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(config, "20230610-00000001")
    progress = Progress(3, 0, 64)
    at_once = Checkpointer(
        run.paths.folder / "at_once", run.model, run.optimizer, keep=2, asynchronous=False
    )
    beside = Checkpointer(run.paths.folder / "beside", run.model, run.optimizer, keep=2)
    go_on, write = threading.Event(), module.save

    def write_later(*arguments: Any, **named: Any) -> None:
        assert go_on.wait(60)
        write(*arguments, **named)

    take_steps(run, 0, 3)
    at_once.save(progress, loss=1.0)
    monkeypatch.setattr(module, "save", write_later)
    beside.save(progress, loss=1.0)
    before = all_tensors(run.paths.folder / "at_once" / "step-3")
    take_steps(run, 3, 6)
    assert checkpoints(run.paths.folder / "beside") == []  # none of it was written before
    go_on.set()
    beside.wait()
    assert_equal_bits(
        run.paths.folder / "at_once" / "step-3", run.paths.folder / "beside" / "step-3"
    )

    # The steps in between did change tables, towers and both optimizers.
    at_once.save(Progress(6, 0, 0), loss=1.0)
    after = all_tensors(run.paths.folder / "at_once" / "step-6")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {
        "model.embedding_bags.embedding_bags.package.weight",
        "optim.state.tables.embedding_bags.embedding_bags.package.weight.package.momentum1",
        "model.item_tower.default",
    } < changed
    assert any(name.startswith("optim.state.towers.") for name in changed)


def take_steps(run: Run, first: int, last: int) -> None:
    for step in range(first, last):
        batch = run.builder.build(np.arange(30) + step, np.ones(30, bool), step=step)
        run.optimizer.zero_grad()
        run.model(batch).total.backward()
        run.optimizer.step()


@pytest.mark.usefixtures("one_rank")
def test_random_numbers_go_on_where_they_were(config: Config) -> None:
    run = Run(config, "20230610-00000001")
    torch.rand(5)
    run.checkpointer.save(Progress(1, 0, 64), loss=1.0)
    run.checkpointer.wait()
    expected = torch.rand(5)
    again = Run(config, "20230610-00000001")
    torch.rand(3)
    assert again.checkpointer.resume() == Progress(1, 0, 64)
    assert torch.equal(torch.rand(5), expected)


@pytest.mark.usefixtures("one_rank")
def test_streaming_logq_resumes_exactly(config: Config) -> None:
    config = config.model_copy(update={"loss": LossConfig(logq="streaming")})
    whole = Run(config, "20230610-00000001")
    whole.train(3)
    stopped = Run(config, "20230610-00000002")
    stopped.train(1)  # its steps are those of the first epoch
    going_on = Run(config, "20230610-00000002")
    going_on.train(3)
    assert going_on.losses() == whole.losses()


@contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond this size. Writing then raises OSError, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("one_rank")
def test_a_full_disk_leaves_the_checkpoint_before_whole(config: Config) -> None:
    run = Run(config, "20230610-00000001")
    take_steps(run, 0, 3)
    run.checkpointer.save(Progress(3, 0, 64), loss=1.0)
    run.checkpointer.wait()
    whole = all_tensors(run.paths.checkpoints / "step-3")
    take_steps(run, 3, 4)
    with full_disk(2_000):
        assert run.checkpointer.save(Progress(4, 0, 64), loss=1.0) is None
        take_steps(run, 4, 5)
        failure = run.checkpointer.save(Progress(5, 0, 64), loss=1.0)
        assert failure is not None
        assert "checkpoint of step 4 could not be written" in failure
        assert "File too large" in failure
        with pytest.raises(LongtailError, match="step 5 could not be written") as caught:
            run.checkpointer.wait()
    for words in ("step 3 is whole", "MB", "free there: make room", "then run again"):
        assert words in str(caught.value)
    assert [entry.name for entry in run.paths.checkpoints.iterdir()] == ["step-3"]
    left = all_tensors(run.paths.checkpoints / "step-3")
    assert all(torch.equal(left[name], value) for name, value in whole.items())

    # With room again, the same step is written, and a resumed run begins with it.
    run.checkpointer.save(Progress(5, 0, 64), loss=1.0)
    run.checkpointer.wait()
    assert Run(config, "20230610-00000001").checkpointer.resume() == Progress(5, 0, 64)


@pytest.mark.usefixtures("one_rank")
def test_a_run_survives_a_full_disk_and_says_so(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(config, "20230610-00000001")
    write = module.save

    def write_on_a_disk_that_fills_up(*arguments: Any, **named: Any) -> None:
        write(*arguments, **named)
        if "step-6" in str(named["checkpoint_id"]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "save", write_on_a_disk_that_fills_up)
    run.train(4)
    # Only one checkpoint is missing, and the log warns of it when the next one begins.
    steps = checkpoints(run.paths.checkpoints)
    assert 3 in steps
    assert 6 not in steps
    assert 9 in steps
    records = [json.loads(line) for line in run.paths.training_log.read_text().splitlines()]
    (warning,) = [record for record in records if "warning" in record]
    assert warning["step"] == 9
    assert "step 6 could not be written" in warning["warning"]
    assert "The checkpoint of step 3 is whole" in warning["warning"]

    # The launcher passes the warning on, and does not take it for a record of losses.
    told: list[dict[str, Any]] = []
    log = run.paths.training_log.rename(run.paths.folder / "log")
    with (
        LogTail(run.paths.training_log, told.append) as tail,
        messages_of("longtail.training") as messages,
    ):
        tail.report()
        log.rename(run.paths.training_log)
        tail.report()
    assert [record["step"] for record in told] == list(range(1, records[-1]["step"] + 1))
    assert messages == [warning["warning"]]


@contextmanager
def messages_of(name: str) -> Iterator[list[str]]:
    """Yield the messages of a logger, also those that it does not pass on."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger(name).addHandler(handler)
    try:
        yield messages
    finally:
        logging.getLogger(name).removeHandler(handler)


@pytest.mark.usefixtures("one_rank")
def test_the_last_ones_and_the_best_are_kept(config: Config) -> None:
    config = config.model_copy(update={"checkpoints": CheckpointsConfig(best_by="training_loss")})
    run = Run(config, "20230610-00000001")
    score = checkpoint_score(config, run.training_set)
    checkpointer = Checkpointer(
        run.paths.checkpoints, run.model, run.optimizer, keep=2, score=score
    )
    kept = []
    for step, loss in enumerate([5.0, 2.0, 4.0, 3.0, 2.5, 1.0, 6.0], start=1):
        checkpointer.save(Progress(step, 0, 0), loss=loss)
        checkpointer.wait()
        kept.append(checkpoints(run.paths.checkpoints))
    assert kept == [[1], [1, 2], [2, 3], [2, 3, 4], [2, 4, 5], [5, 6], [6, 7]]
    assert [entry.name for entry in chosen_checkpoints(run.paths, config)] == ["step-6"]
    last = config.model_copy(update={"checkpoints": CheckpointsConfig()})
    assert [entry.name for entry in chosen_checkpoints(run.paths, last)] == ["step-7"]


def sum_of_vectors(encoder: Encoder, training_set: Any, config: Config) -> float:
    return float(encoder.encode("item", training_set.item_rows).sum())


@pytest.mark.usefixtures("one_rank")
def test_a_metric_sees_the_encoder_of_each_checkpoint(config: Config) -> None:
    name = f"{__name__}:sum_of_vectors"
    config = config.model_copy(update={"checkpoints": CheckpointsConfig(best_by=name)})
    run = Run(config, "20230610-00000001")
    run.checkpointer = Checkpointer(
        run.paths.checkpoints,
        run.model,
        run.optimizer,
        keep=100,
        score=checkpoint_score(config, run.training_set),
    )
    run.train(3)
    scores = {}
    for step in checkpoints(run.paths.checkpoints):
        folder = run.paths.checkpoints / f"step-{step}"
        write_encoder(run.paths, run.config, folder)
        scores[step] = sum_of_vectors(load_encoder(run.paths.folder), run.training_set, config)
        written = json.loads((folder / "progress.json").read_text())["score"]
        assert written == pytest.approx(scores[step], rel=1e-6)
    assert len(scores) > 2
    best = max(scores, key=lambda step: scores[step])
    assert [entry.name for entry in chosen_checkpoints(run.paths, config)] == [f"step-{best}"]


@pytest.mark.parametrize("name", ["longtail.nothing:at_all", "longtail.config:nothing", "os:name"])
def test_a_metric_that_is_not_there_is_refused(name: str, config: Config) -> None:
    config = config.model_copy(update={"checkpoints": CheckpointsConfig(best_by=name)})
    with pytest.raises(InputError, match=r"checkpoints\.best_by"):
        checkpoint_score(config, None)  # type: ignore[arg-type]


@pytest.mark.usefixtures("one_rank")
def test_half_a_checkpoint_is_none_and_a_damaged_one_is_named(config: Config) -> None:
    run = Run(config, "20230610-00000001")
    run.train(1)
    newest = checkpoints(run.paths.checkpoints)[-1]
    left_over = run.paths.checkpoints / ".step-99.tmp"
    left_over.mkdir()
    (left_over / "__0_0.distcp").write_bytes(b"half of it")
    again = Run(config, "20230610-00000001")
    assert again.checkpointer.resume().step == newest
    assert not left_over.exists()

    for pattern in ("*.distcp", ".metadata"):
        (file,) = (run.paths.checkpoints / f"step-{newest}").glob(pattern)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        message = f"step-{newest} cannot be read .*remove that folder"
        with pytest.raises(LongtailError, match=message):
            Run(config, "20230610-00000001").checkpointer.resume()


@given(
    st.integers(1, 500),
    st.lists(st.tuples(st.integers(1, 90), st.integers(0, 20)), min_size=1, max_size=8),
)
def test_no_example_is_left_out_when_the_number_of_ranks_changes(
    num_examples: int, stretches: list[tuple[int, int]]
) -> None:
    """One pass consists of stretches of steps, each with its own number of examples a step."""
    seen = np.zeros(num_examples, int)
    progress = Progress()
    for per_step, num_steps in [*stretches, (7, num_examples)]:
        progress = progress.aligned(per_step)
        for _ in range(num_steps):
            if progress.epoch == 1:
                break
            first = progress.step_in_epoch(per_step) * per_step
            seen[first : first + per_step] += 1
            progress = progress.after_step(per_step, num_examples)
    assert progress.epoch == 1
    assert progress.examples == 0
    assert (seen > 0).all()
    if len({per_step for per_step, _ in stretches} | {7}) == 1:
        assert (seen == 1).all()
