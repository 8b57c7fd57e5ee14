"""Sets up a training process on its machine: number format, threads, determinism, memory."""

import ctypes
import logging
import sys

import torch

from longtail.config import Config
from longtail.errors import InputError

log = logging.getLogger("longtail.training")

# Parameters of glibc's mallopt, from malloc.h, and the largest mmap threshold that it takes.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_LARGEST_MMAP_THRESHOLD = 32 << 20


def product_dtype(config: Config, device: torch.device) -> torch.dtype | None:
    """Return the dtype of the towers' matrix products. None: float32, as the weights are.

    Weights, optimizer state, tables, scores and vectors are float32 in any case.

    Args:
        config: the section `compute` is read.
        device: the device that computes the products.

    Raises:
        InputError: the configuration asks for bfloat16, and the processor would only emulate it.
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


def check_num_ranks(num_ranks: int) -> None:
    """Refuse more ranks than this machine has GPUs. On CPUs any number of ranks may share them.

    Raises:
        InputError: there are GPUs, and fewer of them than ranks.
    """
    num_devices = torch.cuda.device_count() if torch.cuda.is_available() else num_ranks
    if num_ranks > num_devices:
        raise InputError(
            f"{num_ranks} ranks need a GPU each, and this machine has {num_devices}: lower "
            "`training.num_ranks` or `--num-ranks`, or hide the GPUs to train on the CPU "
            "(CUDA_VISIBLE_DEVICES=)"
        )


def prepare_cpu(num_threads: int | None) -> None:
    """Make training on a CPU repeatable in this process, and keep the memory that it frees.

    Args:
        num_threads: threads of torch's operators. None: their number stays as it is.
    """
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    # Otherwise threads add the gradients of repeated rows in the order in which they finish.
    torch.use_deterministic_algorithms(True)
    # Filling new tensors only costs time. The stubs do not know this property of the module.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Tell glibc to reuse freed memory, since each step frees and requests the same megabytes.

    If they went back to the system, every page would be zeroed and mapped anew. On the demo that
    took a tenth of a step. Other C libraries are left as they are.
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
        # One arena for all threads, because batches are made in one thread and freed in another.
        (_M_ARENA_MAX, 1),
    ):
        if not mallopt(parameter, value):
            log.debug("mallopt(%d, %d) was refused", parameter, value)
