"""Runs the training of a small project as real processes: launcher, torchrun and ranks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from longtail.artifacts import RunPaths, VersionPaths, read_json
from longtail.config import Config, load_config
from longtail.training.checkpoint_files import checkpoints
from longtail.training.launch.version_name import version_name
from tests.evaluation.small_project import make_day
from tests.uncorrelated import write_correlations

DAY = date(2023, 6, 10)
_MARK = "LONGTAIL_TEST_TRAINING"


class Project:
    """A project that is ready to be trained. One rank has 5 steps an epoch, of about 10 ms each.

    Args:
        folder: an empty folder.
        sections: sections of the configuration, on top of small defaults.
    """

    def __init__(self, folder: Path, **sections: dict[str, Any]) -> None:
        self.file = folder / "longtail.yaml"
        training = {"batch_size": 32, "threads_per_rank": 1, "log_every_steps": 1}
        settings = {
            "feature_repo": ".",
            "model": {"hidden": [16], "output_dim": 8},
            **sections,
            "training": {**training, **sections.get("training", {})},
        }
        folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(yaml.safe_dump(settings))
        make_day(self.config, DAY, 40)
        run = RunPaths(self.config, DAY)
        names = ["item_id", "section", "tags"]
        write_correlations(run.correlations, names)

    @property
    def config(self) -> Config:
        return load_config(self.file)

    @property
    def paths(self) -> VersionPaths:
        return VersionPaths(self.config, version_name(self.config, DAY))

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = read_json(self.paths.training)
        return result

    def records(self) -> list[dict[str, Any]]:
        """Return the records of losses in the training log, without a half written last line."""
        file = self.paths.training_log
        content = file.read_bytes() if file.is_file() else b""
        lines = content[: content.rfind(b"\n") + 1].splitlines()
        return [record for record in map(json.loads, lines) if "loss" in record]

    def losses(self) -> list[float]:
        records = self.records()
        assert [record["step"] for record in records] == list(range(1, len(records) + 1))
        return [record["loss"] for record in records]


class Launched:
    """A running `python -m longtail.training.launch`, with the processes that it has started.

    Args:
        project: the project to train.
        num_ranks: the number of ranks.
        ignoring: signals that are ignored when the launcher starts, as in a background shell.
    """

    def __init__(
        self, project: Project, *, num_ranks: int = 1, ignoring: tuple[signal.Signals, ...] = ()
    ) -> None:
        self.project = project
        self._mark = f"{os.getpid()}-{time.monotonic_ns()}"
        program = "import signal, sys; "
        program += "".join(f"signal.signal({int(n)}, signal.SIG_IGN); " for n in ignoring)
        program += "from longtail.training.launch.launcher import main; main()"
        command = [sys.executable, "-c", program, f"--config={project.file}", f"--as-of={DAY}"]
        self.process = subprocess.Popen(
            [*command, f"--num-ranks={num_ranks}"],
            env={**os.environ, _MARK: self._mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> "Launched":
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._all():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def wait_for_step(self, step: int) -> None:
        """Wait until the training log has reached a step."""
        self._wait_until(lambda: self._logged_step() >= step and bool(self.ranks()), f"step {step}")

    def wait_for_checkpoint(self) -> None:
        """Wait until a whole checkpoint is written, which may be many steps after its own."""
        folder = self.project.paths.checkpoints
        self._wait_until(lambda: bool(checkpoints(folder)), "the first checkpoint")

    def wait_for_message(self, message: str) -> None:
        """Wait until the ranks have logged a message."""
        log = self.project.paths.folder / "training.log"
        self._wait_until(lambda: log.is_file() and message in log.read_text(), repr(message))

    def _logged_step(self) -> int:
        records = self.project.records()
        return records[-1]["step"] if records else 0

    def _wait_until(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if reached():
                return
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.02)
        raise TimeoutError(f"{what} was not reached")

    def end(self) -> tuple[int, str]:
        """Wait for the launcher. Return its exit code and its output."""
        output, _ = self.process.communicate(timeout=120)
        return self.process.returncode, output

    def ranks(self) -> list[int]:
        """Return the process ids of the ranks that run now."""
        lines = self._all().items()
        return [pid for pid, line in lines if "training.worker" in line and "agent" not in line]

    def torchrun(self) -> int:
        """Return the process id of torchrun."""
        (found,) = [pid for pid, line in self._all().items() if "launch.torchrun_agent" in line]
        return found

    def others(self) -> list[int]:
        """Return the process ids of all processes but the launcher."""
        return [pid for pid in self._all() if pid != self.process.pid]

    def _all(self) -> dict[int, str]:
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                if f"{_MARK}={self._mark}".encode() in (folder / "environ").read_bytes():
                    line = (folder / "cmdline").read_bytes()
                    found[int(folder.name)] = line.replace(b"\0", b" ").decode()
            except (OSError, ValueError):  # it ended meanwhile, or is no process
                continue
        return found
