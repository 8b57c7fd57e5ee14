"""What a training process asks of the machine that it runs on."""

import ctypes
import logging
import sys

import torch

from longtail.config import Config
from longtail.errors import InputError

log = logging.getLogger("longtail.training")

# Parameters of glibc's mallopt, from malloc.h, and the largest values that it takes.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_LARGEST_MMAP_THRESHOLD = 32 << 20


def product_dtype(config: Config, device: torch.device) -> torch.dtype | None:
    """What the towers' matrix products are computed in, None for the weights' own float32.

    Weights, optimizer state, tables, scores and vectors stay float32 in any case.

    Args:
        config: the section `compute` is read.
        device: what computes them.

    Raises:
        InputError: bfloat16 is asked for, and the processor would only emulate it.
    """
    wanted = config.compute.products
    if wanted == "float32":
        return None
    if device.type == "cuda":
        there = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        there = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    if there:
        return torch.bfloat16
    if wanted == "bfloat16":
        raise InputError(
            f"`compute.products: bfloat16`, but this {device.type.upper()} has no bfloat16 matrix "
            "products: set it to auto or float32"
        )
    return None


def prepare_cpu(num_threads: int | None) -> None:
    """Make what this process trains on a CPU repeatable, and keep the memory that it frees.

    Args:
        num_threads: for torch's operators; None leaves their number as it is.
    """
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    # Otherwise threads add gradients of repeated rows in the order in which they come.
    torch.use_deterministic_algorithms(True)
    # A property of the module object, which the stubs do not know; filling only costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Tell glibc to reuse freed memory: a step frees and asks for the same megabytes again.

    Given back to the system, every page of them is zeroed and mapped anew, which on the demo took
    a tenth of a step. Other C libraries are left as they are.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # not glibc
        return
    for parameter, value in (
        (_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD),
        (_M_TRIM_THRESHOLD, 2**31 - 1),
        (_M_TOP_PAD, 64 << 20),
        # Memory that one thread freed serves another: batches are made in a thread of their own.
        (_M_ARENA_MAX, 1),
    ):
        if not mallopt(parameter, value):
            log.debug("mallopt(%d, %d) was refused", parameter, value)
