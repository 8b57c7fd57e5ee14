"""Selects the checkpoint that becomes the model: the last one, or the best one by a measure."""

import pkgutil
from collections.abc import Callable
from pathlib import Path

from longtail.artifacts import VersionPaths
from longtail.config import Config
from longtail.dataset.training_set import TrainingSet
from longtail.encoder.torch_encoder import Encoder
from longtail.errors import InputError
from longtail.training.checkpoint_files import (
    best_checkpoint,
    checkpoint_folder,
    newest_checkpoint,
)
from longtail.training.encoder_bundle import read_encoder

ValidationMetric = Callable[[Encoder, TrainingSet, Config], float]


def checkpoint_score(
    config: Config, training_set: TrainingSet
) -> Callable[[Path, float], float] | None:
    """Return the measure that `checkpoints.best_by` names, or None if it names none.

    Returns:
        A function of a checkpoint's folder and the mean training loss before it. A higher result
        is better.

    Raises:
        InputError: there is no such function.
    """
    name = config.checkpoints.best_by
    if name is None:
        return None
    if name == "training_loss":
        return lambda folder, loss: -loss
    metric = validation_metric(name)

    def score(folder: Path, loss: float) -> float:
        encoder = read_encoder(folder, training_set.schema, config)
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


def chosen_checkpoint(paths: VersionPaths, config: Config) -> Path:
    """Return the folder of the checkpoint that becomes the version's model."""
    if config.checkpoints.best_by is None:
        return newest_checkpoint(paths.checkpoints)
    return checkpoint_folder(paths.checkpoints, best_checkpoint(paths.checkpoints))
