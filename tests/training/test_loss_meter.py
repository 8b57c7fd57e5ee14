"""The reports of a run, and its end when a loss is not finite."""

import gzip
import json
import math
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from longtail.config import Config
from longtail.errors import InputError, LongtailError
from longtail.training.checkpoint_files import checkpoints
from longtail.training.launch.training_log import LogTail
from longtail.training.loss_meter import PARTS
from longtail.training.reports import JsonLines, Several, TensorBoard, require_tensorboard
from longtail.training.step_clock import StepClock
from longtail.training.step_profile import StepProfile, part_of
from tests.training.small_run import CPU, Run


def with_training(config: Config, **settings: int) -> Config:
    training = config.training.model_copy(update=settings)
    return config.model_copy(update={"training": training})


@pytest.mark.usefixtures("one_rank")
def test_records_say_means_of_their_interval(config: Config) -> None:
    each = Run(with_training(config, log_every_steps=1), "20230610-00000001")
    each.train(3)
    steps = [json.loads(line) for line in each.paths.training_log.read_text().splitlines()]
    fives = Run(with_training(config, log_every_steps=5), "20230610-00000002")
    start = time.perf_counter()
    result = fives.train(3)
    seconds = time.perf_counter() - start
    records = [json.loads(line) for line in fives.paths.training_log.read_text().splitlines()]
    num_steps = 3 * fives.builder.steps_per_epoch
    assert [r["step"] for r in records] == [*range(5, num_steps, 5), num_steps]
    first = 0
    for record in records:
        for name in ("loss", "main_loss", "self_supervised_loss"):
            mean = np.mean([s[name] for s in steps[first : record["step"]]])
            assert record[name] == pytest.approx(mean, abs=1e-9)
        # The gradients are those of the last step.
        norm = steps[record["step"] - 1]["tower_gradient_norm"]
        assert record["tower_gradient_norm"] == pytest.approx(norm, rel=1e-6)
        first = record["step"]
    assert result["final_loss"] == records[-1]["loss"]
    lengths = np.diff([0, *[r["step"] for r in records]])
    parts = np.array([[r[f"seconds_{part}"] for part in PARTS] for r in records])
    assert (parts >= 0).all()
    assert 0 < (parts * lengths[:, None]).sum() < seconds
    told = sum(64 * n / r["examples_per_second"] for n, r in zip(lengths, records, strict=True))
    assert told < seconds


@pytest.mark.usefixtures("one_rank")
def test_the_gradient_norm_is_that_of_the_towers(config: Config) -> None:
    run = Run(with_training(config, log_every_steps=1), "20230610-00000001")
    run.train(1)
    squares = [
        float((parameter.grad**2).sum())
        for name, parameter in run.model.module.named_parameters()
        if "tower" in name and parameter.grad is not None
    ]
    record = json.loads(run.paths.training_log.read_text().splitlines()[-1])
    assert len(squares) > 4
    assert record["tower_gradient_norm"] == pytest.approx(math.sqrt(sum(squares)), rel=1e-5)


@pytest.mark.usefixtures("one_rank")
def test_a_run_that_diverges_names_step_examples_and_checkpoint(config: Config) -> None:
    """The loss is found at the end of its interval, before another checkpoint is written."""
    run = Run(
        with_training(config, log_every_steps=50, checkpoint_every_steps=2), "20230610-00000001"
    )
    forward, steps_per_epoch = run.model.module.forward, run.builder.steps_per_epoch
    bad = steps_per_epoch + 1  # the second step of epoch 1: step number bad + 1

    def diverging(batch: object) -> object:
        if batch.step == bad:  # type: ignore[attr-defined]
            with torch.no_grad():
                run.model.module.item_tower.default.fill_(float("nan"))
        return forward(batch)

    run.model.module.forward = diverging
    with pytest.raises(LongtailError) as caught:
        run.train(4)
    last = bad - bad % 2
    message = str(caught.value)
    assert f"the loss of step {bad + 1} is not finite on rank 0 (main nan" in message
    found = re.search(r"examples (\d+) to (\d+) in the order of epoch (\d+)", message)
    assert found is not None
    first, end, epoch = map(int, found.groups())
    assert (first, end, epoch) == (64, 127, 1)
    assert f"The last good checkpoint is {run.paths.checkpoints / f'step-{last}'}" in message
    assert checkpoints(run.paths.checkpoints)[-1] == last
    # The examples are those of the batch.
    order = run.builder.examples.epoch_order(epoch)
    positions, counts = run.builder.examples.batch(order, 1)
    assert positions[counts].tolist() == order[first : end + 1].tolist()


@pytest.mark.usefixtures("one_rank")
def test_a_run_found_at_its_end_repeats_what_it_told(config: Config) -> None:
    run = Run(config, "20230610-00000001")
    result = run.train(2)
    again = Run(config, "20230610-00000001").train(2)
    assert again["num_steps"] == result["num_steps"]
    assert again["final_loss"] == result["final_loss"]
    assert again["examples_per_second"] > 0


def test_a_log_that_goes_on_forgets_later_steps_and_half_a_line(tmp_path: Path) -> None:
    file = tmp_path / "training.jsonl"
    lines = JsonLines(file)
    assert lines.begin(0) == {}
    for step in range(1, 6):
        lines.write({"step": step, "loss": step / 2})
    with file.open("a") as handle:
        handle.write('{"step": 3, "lo')
    assert lines.begin(3) == {"step": 3, "loss": 1.5}
    lines.write({"step": 4, "loss": 9.0})
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": 1.5},
        {"step": 3, "resumed": True},
        {"step": 4, "loss": 9.0},
    ]


def test_who_follows_a_log_hears_everything_once_though_it_is_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "training.jsonl"
    lines = JsonLines(file)
    lines.begin(0)
    lines.write({"step": 1, "loss": 0.1})  # of an earlier start
    heard: list[int] = []
    with LogTail(file, lambda record: heard.append(record["step"])) as tail:
        tail.report()
        for step in (2, 3, 4):
            lines.write({"step": step, "loss": 1.0})
        tail.report()
        assert heard == [2, 3, 4]
        lines.begin(2)  # a rank was killed; the log is shorter, and soon longer than it was
        tail.report()
        for step in range(3, 9):
            lines.write({"step": step, "loss": 123456.789})
        with file.open("a") as handle:
            handle.write('{"step": 9, "lo')
        tail.report()
        assert heard == [2, 3, 4, *range(3, 9)]
        with file.open("a") as handle:
            handle.write('ss": 1.0}\n')
        tail.report()
        assert heard[-1] == 9
        lines.begin(9)
        lines.begin(0)  # twice, unseen: the second time from the beginning
        lines.write({"step": 1, "loss": 1.0})
        tail.report()
        assert heard[-1] == 1


def test_the_clock_adds_up_parts() -> None:
    def slow() -> object:
        for number in range(3):
            time.sleep(0.02)
            yield number

    clock = StepClock(CPU)
    for _ in clock.waits_for(slow()):  # type: ignore[arg-type]
        time.sleep(0.01)
        clock.device_lap("forward")
        clock.lap("reporting")
    seconds = clock.read()
    assert seconds["input"] >= 0.06
    assert seconds["forward"] >= 0.03
    assert set(seconds) == {"input", "forward", "reporting"}
    assert clock.read() == {}


@pytest.mark.usefixtures("one_rank")
def test_a_profile_of_some_steps_says_where_their_time_went(config: Config) -> None:
    run = Run(config, "20230610-00000001")
    profile = StepProfile(run.paths.folder, num_steps=3)
    profile.begin()
    for step in range(13):
        batch = run.builder.build(np.arange(30), np.ones(30, bool), step=step)
        run.optimizer.zero_grad()
        run.model(batch).total.backward()
        run.optimizer.step()
        profile.step()
    told = json.loads((run.paths.folder / "profile.json").read_text())
    assert told["num_steps"] == 3
    assert {name for name, value in told["seconds"].items() if value > 0} >= {
        "lookup",
        "matrix_products",
        "other",
    }
    with gzip.open(run.paths.folder / "profile.trace.json.gz") as handle:
        names = {event["name"] for event in json.load(handle)["traceEvents"]}
    assert {"ProfilerStep#7", "ProfilerStep#8", "ProfilerStep#9"} <= names
    assert "ProfilerStep#10" not in names


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        ("fbgemm::split_embedding_backward_codegen_adagrad_cpu", "lookup"),
        ("[lookup]_[embedding_bags]_[table_wise]", "lookup"),
        ("[output_dist]_[embedding_bags]_[table_wise]", "communication"),
        ("gloo:all_to_all", "communication"),
        ("_ExchangeBackward", "communication"),
        ("All2All_Pooled_Wait", "communication"),
        ("ncclDevKernel_SendRecv", "communication"),
        ("aten::addmm", "matrix_products"),
        ("aten::cat", "other"),
    ],
)
def test_operations_are_known_by_name(operation: str, part: str) -> None:
    assert part_of(operation) == part


def test_tensorboard_reads_every_figure_at_its_step(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def write(first: int, last: int, factor: float) -> None:
        reports = Several(JsonLines(tmp_path / "training.jsonl"), TensorBoard(tmp_path / "board"))
        assert reports.begin(first).get("step", 0) == first
        for step in range(first + 1, last + 1):
            reports.write({"step": step, "num_steps": 9, "epoch": 0, "loss": factor * step})
        reports.warn(last, "the disk is full")
        reports.close()

    write(0, 4, 0.5)
    write(2, 6, 2.0)  # resumed after step 2: the records of steps 3 and 4 do not hold
    board = EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    assert board.Tags()["scalars"] == ["loss"]
    points = [(event.step, event.value) for event in board.Scalars("loss")]
    assert points == [(1, 0.5), (2, 1.0), (3, 6.0), (4, 8.0), (5, 10.0), (6, 12.0)]


def test_tensorboard_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        require_tensorboard()
