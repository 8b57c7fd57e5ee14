"""Makes a version's encoder bundle from checkpoints: towers and tables in one safetensors file."""

from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch

from longtail.artifacts import VersionPaths, replaced_file
from longtail.config import Config
from longtail.encoder.tensor_names import CHECKPOINT_PREFIX
from longtail.encoder.torch_encoder import Encoder, encoder_of
from longtail.features.schema import Schema
from longtail.training.checkpoint_files import newest_checkpoint, read_tensors, stored_tensors
from longtail.training.optimization.weight_average import average


def write_encoder(paths: VersionPaths, *checkpoints: Path) -> None:
    """Write the encoder bundle of a version.

    Args:
        paths: the version's paths.
        checkpoints: folders of checkpoints of the version. The mean of their weights is written.
            Without any, it is the newest one's.
    """
    tensors = _model_tensors(checkpoints or [newest_checkpoint(paths.checkpoints)])
    with replaced_file(paths.encoder) as temporary:
        safetensors.torch.save_file(tensors, temporary)


def read_encoder(schema: Schema, config: Config, *checkpoints: Path) -> Encoder:
    """Return the encoder that checkpoints hold, in evaluation mode and without TorchRec.

    Args:
        schema: the schema of the model.
        config: its section `model` is read.
        checkpoints: folders of checkpoints. The encoder has the mean of their weights.
    """
    tensors = _model_tensors(checkpoints)
    return encoder_of(schema, tensors, list(config.model.hidden), config.model.output_dim)


def _model_tensors(checkpoints: Sequence[Path]) -> dict[str, torch.Tensor]:
    """Return the model's mean tensors as float32, by name, without those of the optimizers."""
    if len(checkpoints) == 1:
        return _tensors_of(checkpoints[0])
    return average(_tensors_of(checkpoint) for checkpoint in checkpoints)


def _tensors_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    names = [name for name in stored_tensors(checkpoint) if name.startswith(CHECKPOINT_PREFIX)]
    return {
        name.removeprefix(CHECKPOINT_PREFIX): tensor.float().contiguous()
        for name, tensor in read_tensors(checkpoint, names).items()
    }
