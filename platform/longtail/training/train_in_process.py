"""Trains in this process, without checkpoints and without a version, as a study's cells do."""

import math
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

from longtail.augmentation.masking_plan import MaskingPlan
from longtail.config import Config
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.training_set import TrainingSet
from longtail.encoder.tensor_names import table_of_tensor
from longtail.encoder.torch_encoder import Encoder, encoder_of
from longtail.errors import LongtailError
from longtail.training.loop import prefetched
from longtail.training.optimization.schedule import Schedule
from longtail.training.optimization.weight_average import average, averaged_tensors
from longtail.training.process_setup import prepare_cpu
from longtail.training.run_progress import Progress
from longtail.training.sharding.sharded_model import build_model


def train_in_process(
    training_set: TrainingSet,
    config: Config,
    *,
    num_rows: dict[str, int],
    plan: MaskingPlan,
    num_epochs: int,
    after_epoch: Callable[[int, Encoder], None] | None = None,
) -> Encoder:
    """Train a two-tower model on the CPU, with the number of threads that torch is set to.

    Model, optimizers, batches, schedule and mean weights are those of a training run with one rank.
    `training.early_stopping_epochs` is left to the caller: `after_epoch` may raise an error.

    Args:
        training_set: the examples and rows.
        config: the whole configuration.
        num_rows: the number of rows of each embedding table.
        plan: the masking plan.
        num_epochs: passes over the training part.
        after_epoch: called after each epoch with the number of epochs done and the encoder so far.
            The encoder shares its weights with the model, so it changes with the next step. With
            `training.average_epochs`, those that are averaged are its own.

    Returns:
        The encoder after the last epoch, in evaluation mode.

    Raises:
        LongtailError: a loss is not finite.
    """
    device = torch.device("cpu")
    # One rank cannot split a table, whatever the configuration says of larger clusters.
    config = config.model_copy(update={"sharding": config.sharding.unsplit})
    with one_rank():
        model, optimizer = build_model(
            training_set, config, num_rows=num_rows, plan=plan, device=device
        )
        weights = _weights(model)
        encoder = _encoder(weights, training_set, config)
        builder = BatchBuilder(training_set, config)
        examples = builder.examples
        schedule = Schedule(
            model,
            optimizer,
            config.training,
            num_examples=examples.num_examples,
            num_epochs=num_epochs,
        )
        # The weights at the ends of the last epochs. A run with checkpoints has them on the disk.
        ends: deque[dict[str, torch.Tensor]] = deque(maxlen=config.training.average_epochs)
        progress = Progress()
        model.train()
        for epoch in range(num_epochs):
            schedule.begin_epoch(progress)
            for batch in prefetched(builder.epoch(epoch)):
                schedule.before_step(progress)
                optimizer.zero_grad()
                terms = model(batch)
                # Checked at every step: on a CPU, reading a loss waits for nothing.
                if not math.isfinite(float(terms.total.detach())):
                    raise LongtailError(
                        f"a loss of epoch {epoch + 1} is not finite: lower the learning rates or "
                        "raise the temperatures"
                    )
                terms.total.backward()
                optimizer.step()
                progress = progress.after_step(examples.batch_size, examples.num_examples)
            if config.training.average_epochs > 1:
                names = averaged_tensors(weights, config.training)
                ends.append({name: weights[name].clone() for name in names})
                encoder = _encoder({**weights, **average(ends)}, training_set, config)
            if after_epoch is not None:
                after_epoch(epoch + 1, encoder)
    return encoder


def _weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of a model that one rank holds whole, by name. They are the live ones."""
    return {
        name: value if table_of_tensor(name) is None else value.local_shards()[0].tensor
        for name, value in model.state_dict().items()
    }


def _encoder(
    weights: dict[str, torch.Tensor], training_set: TrainingSet, config: Config
) -> Encoder:
    """Return an encoder that shares these tensors."""
    settings = config.model
    return encoder_of(training_set.schema, weights, list(settings.hidden), settings.output_dim)


@contextmanager
def one_rank() -> Iterator[None]:
    """Set up a process group of this process alone, as deterministic as a training run on CPUs."""
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    prepare_cpu(None)
    with tempfile.TemporaryDirectory() as folder:
        store = dist.FileStore(str(Path(folder) / "store"), 1)
        dist.init_process_group("gloo", store=store, rank=0, world_size=1)
        try:
            yield
        finally:
            dist.destroy_process_group()
            torch.use_deterministic_algorithms(was_deterministic)
