"""The differences between the releases of torch that we run on.

`make install` takes torch 2.13 with TorchRec 1.8. A GPU machine often brings its own torch, and
2.11 with TorchRec 1.6 works, too. This module can go when torch 2.11 is no longer met; then
`ReservedDeviceMemory` in `sharding/torchrec_planner.py` can go as well.
"""

from typing import Any

import torch


def has_fused_adagrad(device: torch.device) -> bool:
    """Return whether `torch.optim.Adagrad(fused=True)` works on a device.

    On CUDA it came with torch 2.13; before, it raises an error in its first step.
    """
    return device.type == "cpu" or _torch_version() >= (2, 13)


def shutdown_timeout(seconds: int) -> list[str]:
    """Return torchrun's option for the time that ranks have to stop.

    It came with torch 2.13. Before, torchrun gives them 30 seconds, whatever is asked for.
    """
    return [f"--shutdown-timeout={seconds}"] if _torch_version() >= (2, 13) else []


def _torch_version() -> Any:
    """Return torch's version, which compares with tuples."""
    return torch.__version__
