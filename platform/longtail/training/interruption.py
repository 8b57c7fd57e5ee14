"""Stops all ranks after the same step, with a checkpoint of that step, when a signal asks for it.

A node that is to be taken away gets SIGTERM some seconds before. The signal may reach the launcher,
torchrun or a single rank. The run ends in the same way in each case.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
import torch.distributed as dist

from longtail.errors import LongtailError

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingInterruptedError(LongtailError):
    """Training was told to stop, and did. The same command goes on from its checkpoint.

    The exit code is `EX_TEMPFAIL` of sysexits.h, "try again". An orchestrator that sees it starts
    the same command again.
    """

    exit_code = 75


class StopRequest:
    """A request to stop that reached some rank, and that all ranks learn of at the same step.

    The ranks agree while a step computes: `ask` starts a reduction of a few bytes, and `answer`
    fetches its result. That costs no waiting, since every step's lookups wait for all ranks anyway.

    Args:
        group: a gloo group of all ranks. Nothing else may use it between `ask` and `answer`.
    """

    def __init__(self, group: dist.ProcessGroup) -> None:
        self._group = group
        self._alone = dist.get_world_size(group) == 1
        self._told = False
        self._asked: tuple[torch.Tensor, dist.Work] | None = None

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Take note of SIGTERM and SIGINT instead of ending at once.

        Both handlers are set, whatever this process inherited. A background shell, for example,
        passes SIGINT on as ignored.
        """
        before = {number: signal.signal(number, self._take_note) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def ask(self) -> None:
        """Begin to ask all ranks. Called before a step's work."""
        if not self._alone:
            told = torch.tensor([self._told], dtype=torch.int32)
            work = dist.all_reduce(told, dist.ReduceOp.MAX, group=self._group, async_op=True)
            assert work is not None
            self._asked = (told, work)

    def answer(self) -> bool:
        """Return whether to stop now, the same on every rank. Called after the step's work."""
        if self._alone:
            return self._told
        assert self._asked is not None
        told, work = self._asked
        self._asked = None
        work.wait()
        return bool(told.item())

    def _take_note(self, number: int, frame: FrameType | None) -> None:
        self._told = True
