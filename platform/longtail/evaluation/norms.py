"""The length of item vectors before they are scaled to one."""

import numpy as np
import numpy.typing as npt
import torch

from longtail.encoder.torch_encoder import Encoder
from longtail.features.encoding import EncodedRows


def encode_with_norms(
    encoder: Encoder, rows: EncodedRows
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Encode items, and listen to what the tower's last layer says before it is normalised.

    Args:
        encoder: of a version.
        rows: R encoded item rows.

    Returns:
        `[R, output_dim]` unit vectors, as `encoder.encode` gives them, and their `[R]` lengths
        before.
    """
    lengths: list[torch.Tensor] = []

    def listen(_layer: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        lengths.append(torch.linalg.vector_norm(output, dim=-1))

    hook = encoder.item_tower.unscaled.register_forward_hook(listen)
    try:
        vectors = encoder.encode("item", rows)
    finally:
        hook.remove()
    norms: npt.NDArray[np.float32] = torch.cat([torch.empty(0), *lengths]).numpy()
    return vectors, norms
