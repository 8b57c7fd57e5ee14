"""Profiles some steps: torch.profiler's trace, and the seconds of each kind of operation."""

import logging
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from longtail.artifacts import write_json

log = logging.getLogger("longtail.training")

# The first steps fill caches. torch.profiler itself is slow in the step in which it starts.
_STEPS_BEFORE = 5
_WARMUP_STEPS = 2
_MATRIX_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")


class StepProfile:
    """Profiles some early steps of this rank. The steps before and after cost nothing.

    It writes `profile.json`, `{"num_steps", "seconds": {part: seconds a step}}`, and
    `profile.trace.json.gz`, which Perfetto and `chrome://tracing` show. A part is the time of its
    operations on the device, or on all threads of a CPU. The parts overlap, so they need not add
    up to the time of the step. A run that ends before the profile does writes neither file.

    Args:
        folder: gets both files.
        num_steps: the number of steps to profile.
    """

    def __init__(self, folder: Path, num_steps: int) -> None:
        self._folder = folder
        self._num_steps = num_steps
        self._num_left = _STEPS_BEFORE + _WARMUP_STEPS + num_steps
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self._profile = profile(
            activities=activities,
            schedule=schedule(wait=_STEPS_BEFORE, warmup=_WARMUP_STEPS, active=num_steps, repeat=1),
            on_trace_ready=self._write,
        )

    def begin(self) -> None:
        """Start. The next step is the first one."""
        self._profile.start()

    def step(self) -> None:
        """Note that a step has ended."""
        if self._num_left == 0:
            return
        self._num_left -= 1
        self._profile.step()
        if self._num_left == 0:
            self._profile.stop()

    def _write(self, trace: profile) -> None:
        seconds = dict.fromkeys(("lookup", "matrix_products", "communication", "other"), 0.0)
        for event in trace.key_averages():
            if event.key.startswith("ProfilerStep"):
                continue  # the step as a whole: its own share is the interpreter's time
            spent = event.self_device_time_total or event.self_cpu_time_total
            seconds[part_of(event.key)] += spent / 1e6 / self._num_steps
        trace.export_chrome_trace(str(self._folder / "profile.trace.json.gz"))
        write_json(
            self._folder / "profile.json", {"num_steps": self._num_steps, "seconds": seconds}
        )
        parts = ", ".join(f"{part} {value * 1e3:.2f} ms" for part, value in seconds.items())
        log.info("a step, by kind of operation: %s", parts)


def part_of(operation: str) -> str:
    """Return the part of a step that an operation belongs to.

    Args:
        operation: its name in torch's profiler, such as `fbgemm::…` or `gloo:…`.
    """
    name = operation.lower()
    # `_Exchange` (in sharding/bag_exchange.py) and `All2All_Pooled_Wait` (in TorchRec) exchange
    # embeddings.
    exchanges = "nccl", "_dist]", "_exchange", "all2all"
    if name.startswith(("gloo:", "c10d::")) or any(each in name for each in exchanges):
        return "communication"
    if "fbgemm" in name or "embedding" in name or "splitlookup" in name:
        return "lookup"
    if name in _MATRIX_PRODUCTS or "gemm" in name:
        return "matrix_products"
    return "other"
