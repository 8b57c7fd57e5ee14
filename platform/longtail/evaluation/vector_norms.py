"""The lengths of item vectors before they are normalised."""

import numpy as np
import numpy.typing as npt
import torch

from longtail.encoder.torch_encoder import Encoder
from longtail.features.encoding import EncodedRows


def encode_with_norms(
    encoder: Encoder, rows: EncodedRows
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Encode items, and record the length of the tower's output before it is normalised.

    Args:
        encoder: the encoder of a version.
        rows: R encoded item rows.

    Returns:
        The vectors that `encoder.encode_scored` returns, and the `[R]` lengths of the unit vectors
        in them before they were normalised.
    """
    lengths: list[torch.Tensor] = []

    def record(_layer: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        lengths.append(torch.linalg.vector_norm(output, dim=-1))

    # A hook, because encoding returns only unit vectors, and must stay the one way to encode.
    hook = encoder.item_tower.unscaled.register_forward_hook(record)
    try:
        vectors = encoder.encode_scored("item", rows)
    finally:
        hook.remove()
    norms: npt.NDArray[np.float32] = torch.cat([torch.empty(0), *lengths]).numpy()
    return vectors, norms
