"""Where the time of a step goes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import TypeVar

import torch

Element = TypeVar("Element")


class StepClock:
    """Adds up the seconds of a step's parts, without making a GPU wait.

    On a GPU the host only queues the work: what the device does between two laps is measured by
    events in its stream, read when somebody asks. Waiting for input, and for the disk, is time of
    the host on either device.

    Args:
        device: what the step computes on.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_device = device.type == "cuda"
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._laps: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._mark = time.perf_counter()
        self._event: torch.cuda.Event | None = None

    def waits_for(self, elements: Iterator[Element]) -> Iterator[Element]:
        """Pass elements on; the time until each one is there is `input`."""
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
        """What was done on the host since the last lap was this part of the step."""
        now = time.perf_counter()
        self._seconds[part] += now - self._mark
        self._mark = now

    def device_lap(self, part: str) -> None:
        """What the device was given since the last such lap was this part of the step."""
        if not self._on_device:
            self.lap(part)
            return
        assert self._event is not None
        before, self._event = self._event, self._recorded()
        self._laps.append((part, before, self._event))
        self._mark = time.perf_counter()

    def read(self) -> dict[str, float]:
        """The seconds of each part since the last reading; waits for the device."""
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
