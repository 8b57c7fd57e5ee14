"""Reports on a run while it goes on, and stops it if its losses diverge."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from longtail.dataset.sampler import ExampleSampler
from longtail.errors import LongtailError
from longtail.training.reports import Reports
from longtail.training.run_progress import Progress
from longtail.training.step_clock import StepClock
from longtail.training.step_profile import StepProfile

PARTS = ("input", "forward", "backward_and_update", "reporting", "checkpoint")


class Meter:
    """Keeps the losses of the steps on the device, and reads them now and then.

    Reading a loss makes the host wait for the GPU. So all losses since the last reading are read
    together, at the end of a logging interval and before a checkpoint. A loss that is not finite
    is found then: some steps late, but before any checkpoint, and with the number of its own step.

    Losses are means over ranks. A record has one gradient norm, of both towers together, after the
    interval's last step. It leaves the tables out, since their gradients never exist as a whole:
    FBGEMM applies them row by row in its backward pass.

    Args:
        examples: says which examples the steps of a pass have.
        log_every_steps: the number of steps in an interval.
        device: this rank's device.
        group: a gloo group of all ranks. Only this thread may use it.
        reports: where the records go.
        last_good: names the newest whole checkpoint, for the message of a run that diverged.
        profile: profiles some of the steps. None: no profile.
    """

    def __init__(
        self,
        examples: ExampleSampler,
        *,
        log_every_steps: int,
        device: torch.device,
        group: dist.ProcessGroup,
        reports: Reports,
        last_good: Callable[[], str],
        profile: StepProfile | None = None,
    ) -> None:
        self.clock = StepClock(device)
        self._examples = examples
        self._log_every_steps = log_every_steps
        self._group = group
        self._reports = reports
        self._last_good = last_good
        self._profile = profile
        self._unread: list[tuple[Progress, list[torch.Tensor]]] = []
        self._interval: list[torch.Tensor] = []
        self._since_checkpoint: list[float] = []

    def begin(self, progress: Progress, num_steps: int) -> None:
        """Note that a run begins, or goes on.

        Args:
            progress: what is done already.
            num_steps: the number of steps of the whole run.
        """
        self._first_step = self._step = progress.step
        self._num_steps = num_steps
        self._last = self._reports.begin(progress.step)
        if self._profile is not None:
            self._profile.begin()
        self._started = self._interval_started = time.perf_counter()

    def add(self, before: Progress, terms: Any) -> None:
        """Take a step's losses, without waiting for the device.

        Args:
            before: the progress before the step.
            terms: `LossTerms` of this rank's batch.
        """
        losses = [term.detach() for term in (terms.total, terms.main, terms.self_supervised)]
        self._unread.append((before, losses))
        self._step = before.step + 1
        if self._profile is not None:
            self._profile.step()

    def is_due(self, step: int) -> bool:
        """Return whether an interval ends with this step."""
        return step % self._log_every_steps == 0

    def report(self, model: nn.Module) -> None:
        """End an interval. Every rank calls it, and rank 0 writes the record.

        Args:
            model: its towers hold the gradients of the last step.

        Raises:
            LongtailError: a loss of the interval is not finite.
        """
        norm = _gradient_norm(model)
        epoch = self._unread[-1][0].epoch
        self._read()
        count = len(self._interval)
        total, main, self_supervised = torch.stack(self._interval).mean(dim=0).tolist()
        seconds = self.clock.read()
        now = time.perf_counter()
        rate = count / max(1e-9, now - self._interval_started)
        self._interval, self._interval_started = [], now
        self._last = {
            "step": self._step,
            "num_steps": self._num_steps,
            "epoch": epoch,
            "loss": total,
            "main_loss": main,
            "self_supervised_loss": self_supervised,
            "tower_gradient_norm": float(norm),
            "examples_per_second": rate * self._examples_per_step,
            **{f"seconds_{part}": seconds.get(part, 0.0) / count for part in PARTS},
            "seconds_left": (self._num_steps - self._step) / rate,
        }
        self._reports.write(self._last)

    def warn(self, message: str) -> None:
        """Report something that people should act on while the run goes on."""
        self._reports.warn(self._step, message)

    def loss_since_checkpoint(self) -> float:
        """Return the mean loss since the last call. Every rank calls it before each checkpoint.

        Raises:
            LongtailError: a loss is not finite, so that the checkpoint must not be written.
        """
        self._read()
        losses, self._since_checkpoint = self._since_checkpoint, []
        return sum(losses) / len(losses)

    def summary(self) -> dict[str, float | int]:
        """Return the result of the whole run: `num_steps`, `final_loss`, `examples_per_second`.

        If no step was left to do, the figures are those of the last record.
        """
        self._reports.close()
        rate = self._last.get("examples_per_second", 0.0)
        steps = self._step - self._first_step
        if steps:
            seconds = max(1e-9, time.perf_counter() - self._started)
            rate = steps * self._examples_per_step / seconds
        return {
            "num_steps": self._step,  # fewer than were planned, if training ended early
            "final_loss": self._last["loss"],
            "examples_per_second": rate,
        }

    @property
    def _examples_per_step(self) -> int:
        return self._examples.batch_size * self._examples.world_size

    def _read(self) -> None:
        """Fetch the losses of all steps since the last call, from the device and from all ranks.

        Raises:
            LongtailError: a loss is not finite. All ranks raise it, for the same step.
        """
        if not self._unread:
            return
        steps = [progress for progress, _ in self._unread]
        own = torch.stack([torch.stack(losses) for _, losses in self._unread]).double().cpu()
        ranks = [torch.empty_like(own) for _ in range(self._examples.world_size)]
        dist.all_gather(ranks, own, group=self._group)
        self._unread = []
        losses = torch.stack(ranks)  # [rank, step, term]
        # Name the first step that went wrong, and the first rank in it.
        finite = losses.isfinite().all(dim=2)
        if not finite.all():
            place = int((~finite).any(dim=0).int().argmax())
            rank = int((~finite[:, place]).int().argmax())
            raise LongtailError(self._diverged(steps[place], rank, losses[rank, place].tolist()))
        means = losses.mean(dim=0)
        self._interval += means.unbind()
        self._since_checkpoint += means[:, 0].tolist()

    def _diverged(self, before: Progress, rank: int, losses: list[float]) -> str:
        """Return the message of a loss that is not finite: where it arose, and what to do."""
        size = self._examples.batch_size
        step = before.step_in_epoch(self._examples_per_step)
        first = (step * self._examples.world_size + rank) * size
        return (
            f"the loss of step {before.step + 1} is not finite on rank {rank} (main {losses[1]:g}, "
            f"self-supervised {losses[2]:g}). Its batch is examples {first} to {first + size - 1} "
            f"in the order of epoch {before.epoch} (`ExampleSampler.epoch_order`). "
            f"{self._last_good()}. Lower the learning rates or raise the temperatures"
        )


def _gradient_norm(model: nn.Module) -> torch.Tensor:
    """Return the 2-norm of all gradients together, a scalar on their device. NaN without any."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return nn.utils.get_total_norm(gradients).detach() if gradients else torch.tensor(math.nan)
