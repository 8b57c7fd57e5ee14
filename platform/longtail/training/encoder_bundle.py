"""Makes a version's encoder bundle from a checkpoint: towers and tables in one safetensors file."""

from pathlib import Path

import safetensors.torch
import torch

from longtail.artifacts import VersionPaths, replaced_file
from longtail.config import Config
from longtail.encoder.tensor_names import CHECKPOINT_PREFIX, table_tensor
from longtail.encoder.torch_encoder import Encoder
from longtail.features.schema import Schema
from longtail.training.checkpoint_files import newest_checkpoint, read_tensors, stored_tensors


def write_encoder(paths: VersionPaths, checkpoint: Path | None = None) -> None:
    """Write the encoder bundle of a version.

    Args:
        paths: the version's paths.
        checkpoint: the folder of a checkpoint of the version. None: its newest.
    """
    tensors = _model_tensors(checkpoint or newest_checkpoint(paths.checkpoints))
    with replaced_file(paths.encoder) as temporary:
        safetensors.torch.save_file(tensors, temporary)


def read_encoder(checkpoint: Path, schema: Schema, config: Config) -> Encoder:
    """Return the encoder that a checkpoint holds, in evaluation mode and without TorchRec."""
    tensors = _model_tensors(checkpoint)
    tables = {table: tensors.pop(table_tensor(table)) for table in schema.tables}
    encoder = Encoder(schema, tables, list(config.model.hidden), config.model.output_dim)
    encoder.load_state_dict(tensors)
    return encoder.eval()


def _model_tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return the model's tensors as float32, by name, without those of the optimizers."""
    names = [name for name in stored_tensors(checkpoint) if name.startswith(CHECKPOINT_PREFIX)]
    return {
        name.removeprefix(CHECKPOINT_PREFIX): tensor.float().contiguous()
        for name, tensor in read_tensors(checkpoint, names).items()
    }
