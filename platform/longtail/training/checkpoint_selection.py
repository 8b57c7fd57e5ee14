"""Selects the checkpoints that become the model: the last one, or the best one by a measure."""

import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path

from longtail.artifacts import VersionPaths
from longtail.config import Config
from longtail.dataset.training_set import TrainingSet
from longtail.encoder.torch_encoder import Encoder
from longtail.errors import InputError, LongtailError
from longtail.training.checkpoint_files import (
    best_checkpoint,
    checkpoint_folder,
    checkpoints,
    last_epoch_ends,
    read_progress,
)
from longtail.training.encoder_bundle import read_encoder

ValidationMetric = Callable[[Encoder, TrainingSet, Config], float]


def checkpoint_score(
    config: Config, training_set: TrainingSet
) -> Callable[[Sequence[Path], float], float] | None:
    """Return the measure of the best checkpoint, or None if the last one becomes the model.

    Returns:
        A function of the folders of the checkpoints that make a model, and the mean training loss
        before the last of them. A higher result is better.

    Raises:
        InputError: there is no such function.
    """
    name = config.checkpoints.measure(config.training)
    if name is None:
        return None
    if name == "training_loss":
        return lambda folders, loss: -loss
    metric = validation_metric(name)

    def score(folders: Sequence[Path], loss: float) -> float:
        encoder = read_encoder(training_set.schema, config, *folders)
        return float(metric(encoder, training_set, config))

    return score


def validation_metric(name: str) -> ValidationMetric:
    """Return the user's metric, which the configuration names as `module:function`.

    Raises:
        InputError: it cannot be imported, or is not a function.
    """
    try:
        metric: ValidationMetric = pkgutil.resolve_name(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise InputError(
            f"`checkpoints.best_by` is {name!r}, which cannot be imported ({error}): name a "
            "function as `module:function`"
        ) from error
    if not callable(metric):
        raise InputError(f"`checkpoints.best_by` is {name!r}, which is not a function")
    return metric


def chosen_checkpoints(paths: VersionPaths, config: Config) -> list[Path]:
    """Return the folders of the checkpoints that make the version's model, the last one last.

    The model has the mean of their weights. There are several with `training.average_epochs`.

    Raises:
        LongtailError: there is no checkpoint, or none has a score.
    """
    folder = paths.checkpoints
    if config.checkpoints.measure(config.training) is None:
        chosen = max(checkpoints(folder), default=None)
    else:
        chosen = best_checkpoint(folder)
    if chosen is None:
        raise LongtailError(f"no checkpoint in {folder} can become the model: train again")
    epoch = read_progress(folder, chosen)["epoch"]
    before = last_epoch_ends(folder, epoch - 1, config.training.average_epochs - 1)
    return [checkpoint_folder(folder, step) for step in [*before, chosen]]
