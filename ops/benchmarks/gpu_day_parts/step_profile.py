"""A profile of a few steps: the 20 kernels that take most time, and the trace."""

import itertools
import time
from typing import Any

from gpu_day_parts.day import Day
from gpu_day_parts.small_training import Size, Training, device_of, one_rank, synthetic_work, tiny
from torch.profiler import ProfilerActivity, profile

from longtail.training.step_profile import part_of

_STEPS = 5
_LISTED = 20


def measure(day: Day) -> None:
    """Profile steps without and with self-supervision, on batches made beforehand.

    `DIR/profile-<variant>.trace.json.gz` is for Perfetto and `chrome://tracing`.
    """
    device = device_of(day.device_type)
    size = Size(10.0, dim=128, items=500_000, batch_size=16_384) if day.on_gpu else tiny()
    work = synthetic_work(size)
    day.record(table_gb=size.gigabytes, batch_size=size.batch_size, num_steps=_STEPS)
    activities = [ProfilerActivity.CPU]
    if day.on_gpu:
        activities.append(ProfilerActivity.CUDA)
    with one_rank(device):
        for variant in ("ssl", "base"):
            training = Training(work, device, variant=variant)
            steps = training.running(itertools.cycle(training.ready(4)))
            for _ in range(5):
                next(steps)
            with profile(activities=activities) as trace:
                started = time.perf_counter()
                for _ in range(_STEPS):
                    terms = next(steps)
                float(terms.total.detach())  # waits for the device
                seconds = time.perf_counter() - started
            steps.close()
            del training, steps, terms
            trace.export_chrome_trace(str(day.folder / f"profile-{variant}.trace.json.gz"))
            day.record(**{variant: _table(trace, seconds, on_gpu=day.on_gpu)})
            day.say(f"{variant}: {1e3 * seconds / _STEPS:.2f} ms a step in the profile")


def _table(trace: profile, seconds: float, *, on_gpu: bool) -> dict[str, Any]:
    """Return the time by kernel (on a CPU by operator), and by kind of operation.

    Args:
        trace: the finished profile.
        seconds: what the steps took, as the host saw them.
        on_gpu: whether kernels are counted.
    """
    rows = []
    for event in trace.key_averages():
        # An operator's time on the device is that of its kernels, which are events of their own.
        # A named range on the device would count the kernels in it once more.
        if on_gpu and getattr(event, "is_user_annotation", False):
            continue
        is_kernel = str(event.device_type).endswith("CUDA")
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if spent and is_kernel == on_gpu:
            rows.append((spent / 1e3 / _STEPS, event.count / _STEPS, event.key))
    rows.sort(reverse=True)
    total = sum(milliseconds for milliseconds, _, _ in rows)
    parts: dict[str, float] = {}
    for milliseconds, _, name in rows:
        parts[part_of(name)] = parts.get(part_of(name), 0.0) + milliseconds
    return {
        "step_ms": 1e3 * seconds / _STEPS,
        # On a GPU: the share of a step in which a kernel runs, if none ran beside another.
        "busy_share": total / (1e3 * seconds / _STEPS),
        "kernels_a_step": sum(count for _, count, _ in rows),
        "parts_ms": parts,
        "top": [
            {
                "name": name[:200],
                "ms_a_step": milliseconds,
                "calls_a_step": count,
                "share": milliseconds / total,
            }
            for milliseconds, count, name in rows[:_LISTED]
        ],
    }
