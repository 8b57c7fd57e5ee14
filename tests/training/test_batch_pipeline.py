"""Plain and overlapped steps learn the same. The overlapped ones run here without a GPU."""

from pathlib import Path

import pytest
import torch

from longtail.config import Config
from longtail.dataset.batch import Batch
from longtail.training.batch_pipeline import OverlappedSteps, PlainSteps, pinned, training_steps
from longtail.training.interruption import StopRequest
from longtail.training.step_clock import StepClock
from tests.training.small_run import Run
from tests.training.small_training import CPU, PREFIX, SmallTraining, small_config

NUM_EPOCHS = 2


@pytest.mark.usefixtures("one_rank")
def test_plain_steps_are_the_plain_loop(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    reference = SmallTraining(config).train(NUM_EPOCHS)
    training = SmallTraining(config)
    steps = training_steps(training.model, training.optimizer, CPU)
    assert isinstance(steps, PlainSteps)
    losses = [float(terms.total.detach()) for terms in steps(training.batches(NUM_EPOCHS))]
    assert losses == reference


@pytest.mark.usefixtures("one_rank")
def test_overlapped_steps_learn_the_same_bit_by_bit(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    plain = SmallTraining(config)
    reference = plain.train(NUM_EPOCHS)
    training = SmallTraining(config)
    steps = OverlappedSteps(training.model, training.optimizer, CPU)
    losses = []
    for epoch in range(NUM_EPOCHS):  # the pipeline runs empty at the end of each, as in the loop
        for terms in steps(training.builder.epoch(epoch)):
            losses.append(float(terms.total.detach()))
    assert losses == reference
    for name, value in training.model.state_dict().items():
        other = plain.model.state_dict()[name]
        if name.startswith(PREFIX):
            value, other = (x.local_shards()[0].tensor for x in (value, other))
        assert torch.equal(value, other), name


@pytest.mark.usefixtures("one_rank")
def test_the_loop_takes_the_same_steps_in_both_ways(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(StopRequest, "ask", lambda self: told.append("asked"))
    monkeypatch.setattr(StepClock, "device_lap", lambda self, part: told.append(part))
    plain = Run(config, "20230610-00000001")
    plain.train(NUM_EPOCHS)
    overlapped = Run(config, "20230610-00000002")
    monkeypatch.setattr("longtail.training.loop.training_steps", OverlappedSteps)
    overlapped.train(NUM_EPOCHS)
    assert overlapped.losses() == plain.losses()
    num_steps = NUM_EPOCHS * plain.builder.steps_per_epoch
    assert len(plain.losses()) == num_steps
    assert told == ["asked", "forward", "backward_and_update"] * (2 * num_steps)


@pytest.mark.usefixtures("one_rank")
def test_the_pipeline_finds_the_input_of_the_tables(tmp_path: Path) -> None:
    training = SmallTraining(small_config(tmp_path))
    tables = training.model.module.embedding_bags
    steps = OverlappedSteps(training.model, training.optimizer, CPU)
    list(steps(training.batches(1)))
    # If the pipeline did not find the input, the tables would keep their own forward.
    assert steps._pipeline._pipelined_modules == [tables]
    assert tables.is_pipelined
    forward = tables.forward
    with pytest.raises(AssertionError, match="input_dist of embedding_bags is not available"):
        training.model(next(training.batches(1)))
    steps.detach()
    assert tables.forward != forward
    training.model(next(training.batches(1)))


@pytest.mark.usefixtures("one_rank")
def test_a_failing_batch_ends_the_steps_with_its_error(tmp_path: Path) -> None:
    training = SmallTraining(small_config(tmp_path))

    def broken() -> object:
        yield next(training.batches(1))
        raise OSError("a shard is damaged")

    steps = OverlappedSteps(training.model, training.optimizer, CPU)
    with pytest.raises(OSError, match="a shard is damaged"):
        list(steps(broken()))  # type: ignore[arg-type]


@pytest.mark.usefixtures("one_rank")
def test_every_tensor_of_a_batch_is_pinned_for_cuda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtail.dataset.batch_builder._REPEATED_SHARE", float("inf"))
    training = SmallTraining(small_config(tmp_path))
    batch = next(training.batches(1))
    assert batch.repeated
    assert list(pinned(iter([batch]), CPU)) == [batch]
    pages: list[torch.Tensor] = []

    def copy(tensor: torch.Tensor) -> torch.Tensor:  # what CUDA does, without its page locks
        pages.append(tensor.clone())
        return pages[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", copy)
    (copied,) = pinned(iter([batch]), torch.device("cuda"))
    locked = {page.data_ptr() for page in pages}
    for name, value in vars(copied).items():
        before = getattr(batch, name)
        if isinstance(value, torch.Tensor):
            assert value.numel() == 0 or value.data_ptr() in locked, name
            assert torch.equal(value, before)
        elif isinstance(value, int):
            assert value == before
    assert isinstance(copied, Batch)
    assert copied.repeated.keys() == batch.repeated.keys()
    for key, cells in copied.repeated.items():
        for tensor, its_before in zip(cells, batch.repeated[key], strict=True):
            assert tensor.numel() == 0 or tensor.data_ptr() in locked, key
            assert torch.equal(tensor, its_before)
    features = copied.features
    assert {features.values().data_ptr(), features.lengths().data_ptr()} <= locked
    assert features.stride() == batch.features.stride()
    assert torch.equal(features.lengths(), batch.features.lengths())
