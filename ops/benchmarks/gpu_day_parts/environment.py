"""The machine: card, driver, versions, bfloat16, and the bandwidth of a device copy."""

import importlib.metadata
import os
import sys
from contextlib import suppress
from pathlib import Path

import torch
from gpu_day_parts.day import Day, Failed
from gpu_day_parts.small_training import device_of
from train_gpu import Timer, copy_bandwidth

_PACKAGES = (
    *("torch", "fbgemm_gpu", "fbgemm_gpu_cpu", "torchrec", "tensordict", "triton"),
    *("numpy", "pyarrow", "pydantic", "safetensors"),
)


def measure(day: Day) -> None:
    """Record what the machine has.

    Raises:
        Failed: it has no CUDA device.
    """
    versions = {"python": sys.version.split()[0]}
    for package in _PACKAGES:
        # A package that was only unpacked there may lack its metadata.
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    versions["torch"] = torch.__version__
    day.record(
        versions=versions,
        cores=len(os.sched_getaffinity(0)),
        host_memory_gb=host_memory("MemTotal") / 1e9,
        host_memory_free_gb=host_memory("MemAvailable") / 1e9,
    )
    if day.on_gpu:
        cuda = torch.cuda.is_available()
        day.record(cuda=cuda)
        if not cuda:
            raise Failed("this machine has no CUDA device: --device cpu runs the same on the CPU")
        properties = torch.cuda.get_device_properties(0)
        free, total = torch.cuda.mem_get_info(0)
        day.record(
            card=properties.name,
            compute_capability=f"{properties.major}.{properties.minor}",
            multiprocessors=properties.multi_processor_count,
            device_memory_gb=total / 1e9,
            device_memory_free_gb=free / 1e9,
            cuda_of_torch=torch.version.cuda,
            driver=_driver(),
            bfloat16=torch.cuda.is_bf16_supported(including_emulation=False),
            tf32_products=torch.backends.cuda.matmul.allow_tf32,
        )
    else:
        capabilities = torch.cpu.get_capabilities()
        names = ("avx512_bf16", "amx_bf16", "bf16")
        day.record(card="cpu", bfloat16=any(capabilities.get(name) for name in names))
    timer = Timer(device_of(day.device_type), rounds=10 if day.on_gpu else 3)
    num_bytes = 4 * 10**9 if day.on_gpu else 8 * 10**6
    day.record(copy_gb_per_second=copy_bandwidth(timer, num_bytes) / 1e9)


def host_memory(name: str) -> int:
    """Return a figure of `/proc/meminfo` in bytes, or 0 where there is none."""
    with suppress(OSError), Path("/proc/meminfo").open(encoding="ascii") as lines:
        for line in lines:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _driver() -> str:
    """Return the version of the driver, as the kernel module says it."""
    with suppress(OSError), Path("/proc/driver/nvidia/version").open(encoding="ascii") as file:
        return " ".join(file.readline().split())
    return "unknown"
