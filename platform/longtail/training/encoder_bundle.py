"""Makes a version's encoder bundle from checkpoints: towers and tables in one safetensors file."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import safetensors.torch
import torch

from longtail.artifacts import VersionPaths, replaced_file
from longtail.config import Config
from longtail.encoder.tensor_names import CHECKPOINT_PREFIX
from longtail.encoder.torch_encoder import Encoder, encoder_of
from longtail.features.schema import Schema
from longtail.training.checkpoint_files import newest_checkpoint, read_tensors, stored_tensors
from longtail.training.optimization.weight_average import average, averaged_tensors


def write_encoder(paths: VersionPaths, config: Config, *checkpoints: Path) -> None:
    """Write the encoder bundle of a version.

    Args:
        paths: the version's paths.
        config: see `read_encoder`.
        checkpoints: see `read_encoder`. Without any, it is the newest one.
    """
    tensors = _model_tensors(checkpoints or [newest_checkpoint(paths.checkpoints)], config)
    with replaced_file(paths.encoder) as temporary:
        safetensors.torch.save_file(tensors, temporary)


def read_encoder(schema: Schema, config: Config, *checkpoints: Path) -> Encoder:
    """Return the encoder that checkpoints hold, in evaluation mode and without TorchRec.

    Args:
        schema: the schema of the model.
        config: `model`, and `training.average_tables`, are read.
        checkpoints: folders of checkpoints, in the order of their steps. The encoder has the mean
            of their weights, or of the towers' weights and the last one's tables.
    """
    tensors = _model_tensors(checkpoints, config)
    return encoder_of(schema, tensors, list(config.model.hidden), config.model.output_dim)


def _model_tensors(checkpoints: Sequence[Path], config: Config) -> dict[str, torch.Tensor]:
    """Return the model's mean tensors as float32, by name, without those of the optimizers."""
    *before, last = checkpoints
    stored = [name for name in stored_tensors(last) if name.startswith(CHECKPOINT_PREFIX)]
    tensors = _read(last, [name.removeprefix(CHECKPOINT_PREFIX) for name in stored])
    if not before:
        return tensors
    # What is not averaged is not read a second time. Tables may be most of a machine's memory.
    names = averaged_tensors(tensors, config.training)
    ends = chain(
        (_read(checkpoint, names) for checkpoint in before), [{n: tensors[n] for n in names}]
    )
    return {**tensors, **average(ends)}


def _read(checkpoint: Path, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """Read tensors of the model as float32, by their names in the model."""
    stored = read_tensors(checkpoint, [f"{CHECKPOINT_PREFIX}{name}" for name in names])
    return {name: stored[f"{CHECKPOINT_PREFIX}{name}"].float().contiguous() for name in names}
