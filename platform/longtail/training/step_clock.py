"""Measures the time of each part of a step."""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import TypeVar

import torch

Element = TypeVar("Element")


class StepClock:
    """Adds up the seconds of a step's parts, without making a GPU wait.

    With a GPU, the host only queues the work. Events in the GPU's stream then measure the time
    between two laps, and `read` collects them. Waiting for input or for the disk is always time of
    the host.

    Args:
        device: the device that computes the step.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_device = device.type == "cuda"
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._laps: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._mark = time.perf_counter()
        self._event: torch.cuda.Event | None = None

    def waits_for(self, elements: Iterator[Element]) -> Iterator[Element]:
        """Yield the elements, and count the time until each one is there as `input`."""
        while True:
            self._mark = time.perf_counter()
            try:
                element = next(elements)
            except StopIteration:
                return
            self.lap("input")
            if self._on_device:
                self._event = self._recorded()
            yield element

    def lap(self, part: str) -> None:
        """Count the host's time since the last lap as this part of the step."""
        now = time.perf_counter()
        self._seconds[part] += now - self._mark
        self._mark = now

    def device_lap(self, part: str) -> None:
        """Count the device's work since its last lap as this part of the step."""
        if not self._on_device:
            self.lap(part)
            return
        assert self._event is not None
        before, self._event = self._event, self._recorded()
        self._laps.append((part, before, self._event))
        self._mark = time.perf_counter()

    def read(self) -> dict[str, float]:
        """Return the seconds of each part since the last call. It waits for the device."""
        if self._laps:
            self._laps[-1][2].synchronize()
            for part, before, after in self._laps:
                self._seconds[part] += before.elapsed_time(after) / 1e3
        seconds = dict(self._seconds)
        self._seconds.clear()
        self._laps.clear()
        return seconds

    @staticmethod
    def _recorded() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
