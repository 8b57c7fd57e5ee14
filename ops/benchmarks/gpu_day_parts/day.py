"""The parts of the day in their order, and the means that each of them is given."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Part:
    """One part of the day.

    Attributes:
        name: the name of its result file.
        module: the module of `gpu_day_parts` with its function `measure(day)`.
        share: the most that it may take of the whole time. The shares add up to more than one,
            because most parts end long before their limit.
    """

    name: str
    module: str
    share: float


# In order of worth: when time ends, the parts at the end are left out.
PARTS = (
    Part("environment", "environment", 0.15),  # the first imports come from a cold disk
    Part("kernels", "kernels", 0.08),
    Part("losses", "losses", 0.15),
    Part("no_sync", "no_sync", 0.10),
    Part("resume", "resume", 0.10),
    Part("demo", "demo", 0.20),
    Part("speed", "speed", 0.45),
    Part("plain_pytorch", "against_plain", 0.20),
    Part("profile", "step_profile", 0.12),
)


class Skipped(Exception):
    """Raised by a part that has nothing to measure here. Its message says why."""


class Failed(Exception):
    """Raised by a part after it has recorded figures that break a bound."""


@dataclass(frozen=True)
class Day:
    """The means and the limits that a part is given.

    Attributes:
        device_type: `cuda` or `cpu`. On a CPU all sizes are tiny.
        folder: gets the files that a part writes beside its result.
        training_set: the folder of an encoded training set, or None.
        ends: the end of the part's time, on the clock of `time.monotonic`.
        send: sends figures to the process that keeps them, even if this part crashes later.
        say: tells people about progress.
    """

    device_type: str
    folder: Path
    training_set: Path | None
    ends: float
    send: Callable[[dict[str, Any]], None]
    say: Callable[[str], None]

    @property
    def on_gpu(self) -> bool:
        """Return whether the device is a GPU."""
        return self.device_type == "cuda"

    def record(self, **figures: Any) -> None:
        """Keep figures. A later one of the same name replaces an earlier one."""
        self.send(figures)

    def seconds_left(self) -> float:
        """Return the seconds until this part is ended."""
        return self.ends - time.monotonic()
