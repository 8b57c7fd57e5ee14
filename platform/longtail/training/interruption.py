"""Being told to stop: all ranks stop after the same step, with a checkpoint of that step.

A node that is taken away is told so by SIGTERM, some seconds before. The signal may reach the
launcher, torchrun or one rank alone; whoever it reaches, the run ends in the same way.
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
    """Training was told to stop, and did; the same command goes on from its checkpoint.

    The exit code is `EX_TEMPFAIL` of sysexits.h, "try again": an orchestrator that sees it starts
    the same command again.
    """

    exit_code = 75


class StopRequest:
    """Whether some rank has been told to stop, as all ranks learn it at the same step.

    The ranks agree while the step computes: `ask` starts a reduction of a few bytes, `answer`
    fetches it. No rank waits for it, since every step's lookups wait for all ranks anyway.

    Args:
        group: a gloo group of all ranks that nothing else uses.
    """

    def __init__(self, group: dist.ProcessGroup) -> None:
        self._group = group
        self._alone = dist.get_world_size(group) == 1
        self._told = False
        self._asked: tuple[torch.Tensor, dist.Work] | None = None

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Take note of SIGTERM and SIGINT in place of ending at once.

        Both are set, whatever was inherited: a background shell hands on an ignored SIGINT.
        """
        before = {number: signal.signal(number, self._take_note) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def ask(self) -> None:
        """Begin to ask all ranks; called before a step's work."""
        if not self._alone:
            told = torch.tensor([self._told], dtype=torch.int32)
            work = dist.all_reduce(told, dist.ReduceOp.MAX, group=self._group, async_op=True)
            assert work is not None
            self._asked = (told, work)

    def answer(self) -> bool:
        """Whether to stop now, the same on every rank; called after the step's work."""
        if self._alone:
            return self._told
        assert self._asked is not None
        told, work = self._asked
        self._asked = None
        work.wait()
        return bool(told.item())

    def _take_note(self, number: int, frame: FrameType | None) -> None:
        self._told = True
