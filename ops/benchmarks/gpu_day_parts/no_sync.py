"""Steps in which the host must not wait for the GPU, and where in the code it does."""

import warnings
from collections import Counter

import torch
from gpu_day_parts.day import Day, Failed, Skipped
from gpu_day_parts.small_training import Size, Training, device_of, one_rank, synthetic_work

_WARM_UP = 4
_STEPS = 6


def measure(day: Day) -> None:
    """Run steps that list every synchronisation, then steps in which one is an error.

    Raises:
        Failed: the host waited for the GPU in a step.
        Skipped: the device is a CPU.
    """
    if not day.on_gpu:
        raise Skipped("only a GPU has a host that could wait for it")
    device = device_of(day.device_type)
    work = synthetic_work(Size(0.5, dim=64, items=50_000, batch_size=4096, num_batches=20))
    found: dict[str, dict[str, int]] = {}
    with one_rank(device):
        for variant in ("base", "ssl"):
            training = Training(work, device, variant=variant)
            # Made and pinned beforehand: only the steps are watched, and no other thread.
            batches = training.ready(2 * _STEPS + _WARM_UP + 3)
            steps = training.running(iter(batches))
            for _ in range(_WARM_UP):
                next(steps)
            torch.cuda.synchronize()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                torch.cuda.set_sync_debug_mode("warn")
                for _ in range(_STEPS):
                    next(steps)
                torch.cuda.set_sync_debug_mode("default")
            places = Counter(
                f"{warning.filename}:{warning.lineno}"
                for warning in caught
                if "synchroniz" in str(warning.message)
            )
            found[variant] = dict(places.most_common())
            day.record(num_steps=_STEPS, synchronisations=found)
            day.say(f"{variant}: {sum(places.values())} synchronisations in {_STEPS} steps")
            if not places:
                torch.cuda.set_sync_debug_mode("error")
                for _ in range(_STEPS):
                    next(steps)
                torch.cuda.set_sync_debug_mode("default")
            steps.close()
    if any(found.values()):
        raise Failed("the host waits for the GPU: see the places in `synchronisations`")
