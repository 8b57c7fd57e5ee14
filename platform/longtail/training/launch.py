"""The launcher of a training run: prepares the version's folder, starts torchrun, reports.

`python -m longtail.training.launch --config FILE --as-of DAY [--num-ranks N]`. Inside a Dagster
Pipes process it forwards progress and metadata to Dagster; nothing else knows of Dagster.
"""

import argparse
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from longtail.artifacts import (
    RunPaths,
    VersionPaths,
    fingerprint,
    read_json,
    required_stamp,
    source_hash,
    write_json,
)
from longtail.config import Config, load_config
from longtail.errors import LongtailError
from longtail.model.augmentation import masking
from longtail.training.warm_start import warm_start_parent

log = logging.getLogger("longtail.training")

_POLL_SECONDS = 0.5
_REPORT_SECONDS = 5.0
# How a run is carried out, not what it learns from: another number of ranks is the same version.
_SPEED_SETTINGS = {
    "num_ranks",
    "threads_per_rank",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "max_restarts",
    "log_every_steps",
}


def version_name(config: Config, as_of: date) -> str:
    """The name of the version that these inputs and this configuration make."""
    run = RunPaths(config, as_of)
    identity = fingerprint(
        required_stamp(run.training_set, made_by="dataset")["fingerprint"],
        required_stamp(run.correlations, made_by="mine")["fingerprint"],
        config.model.model_dump(mode="json"),
        config.loss.model_dump(mode="json"),
        config.self_supervision.model_dump(mode="json"),
        config.training.model_dump(mode="json", exclude=_SPEED_SETTINGS),
        source_hash("model", "training"),
    )
    return f"{as_of:%Y%m%d}-{identity[:8]}"


def train(
    config_path: Path | None,
    as_of: date,
    *,
    num_ranks: int | None = None,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train the version of a day, or find it trained.

    An interrupted run of the same version goes on from its newest checkpoint.

    Args:
        config_path: the configuration file; None is the default one.
        as_of: the day, whose training set and correlations are there.
        num_ranks: processes; default, the configuration's.
        on_progress: called with each new record of the training log.

    Returns:
        `{"version", "as_of", "num_ranks", "num_epochs", "parent", "num_steps", "final_loss",
        "examples_per_second"}`, also written to the run's `model.json`.

    Raises:
        LongtailError: training failed; the message says where its log stands.
    """
    config = load_config(config_path)
    version = version_name(config, as_of)
    paths = VersionPaths(config, version)
    if paths.training.is_file():
        log.info("version %s is trained already", version)
    else:
        parent = warm_start_parent(config, as_of) if config.training.warm_start else None
        _prepare(config, as_of, paths)
        ranks = num_ranks or config.training.num_ranks
        start = f"warm start from {parent}" if parent else "cold start"
        log.info("training version %s on %d rank(s), %s", version, ranks, start)
        _run_torchrun(config, config_path, as_of, paths, ranks, parent, on_progress)
    result: dict[str, Any] = read_json(paths.training)
    write_json(RunPaths(config, as_of).model, result)
    return result


def _prepare(config: Config, as_of: date, paths: VersionPaths) -> None:
    """Put beside the model what it was made from."""
    run = RunPaths(config, as_of)
    correlations = read_json(run.correlations / "correlations.json")
    masking(config.self_supervision, correlations["features"], correlations["plan"])  # or an error
    paths.folder.mkdir(parents=True, exist_ok=True)
    settings = config.model_dump(mode="json", exclude={"home", "feature_repo"})
    write_json(paths.config, settings)
    write_json(paths.schema, read_json(run.training_set / "schema.json"))
    write_json(paths.masking_plan, correlations)
    shutil.copytree(run.vocabularies, paths.vocabularies, dirs_exist_ok=True)
    if not paths.checkpoints.is_dir():
        paths.training_log.unlink(missing_ok=True)
    paths.checkpoints.mkdir(exist_ok=True)


def _run_torchrun(
    config: Config,
    config_path: Path | None,
    as_of: date,
    paths: VersionPaths,
    num_ranks: int,
    parent: str | None,
    on_progress: Callable[[dict[str, Any]], None] | None,
) -> None:
    training = config.training
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={num_ranks}", f"--max-restarts={training.max_restarts}"]
    command += ["-m", "longtail.training.worker", f"--as-of={as_of}", f"--version={paths.version}"]
    command += [f"--config={config_path}"] if config_path else []
    command += [f"--parent={parent}"] if parent else []
    threads = training.threads_per_rank or max(1, (os.cpu_count() or 1) // num_ranks)
    environment = {
        **os.environ,
        "LONGTAIL_HOME": str(config.home),
        "OMP_NUM_THREADS": str(threads),
        # Threads that spin while they wait starve the batch builder, and on a machine that does
        # other work as well they made a step six times slower.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        # A restarted group hangs in its rendezvous while the store is shared (torch 2.13).
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    output = paths.folder / "training.log"
    tail = _LogTail(paths.training_log)
    with output.open("ab") as handle:
        process = subprocess.Popen(
            command, env=environment, stdout=handle, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                time.sleep(_POLL_SECONDS)
                tail.report(on_progress)
        finally:
            if process.poll() is None:  # we are being cancelled: let the ranks end themselves
                process.send_signal(signal.SIGTERM)
                process.wait()
    tail.report(on_progress, last=True)
    if process.returncode != 0:
        raise LongtailError(
            f"training of {paths.version} failed: {_cause(output)}. Its log is {output}; run it "
            "again to go on from the newest checkpoint"
        )


def _cause(output: Path) -> str:
    """The last error that a rank itself printed, not torchrun's report of it."""
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = (line for line in reversed(lines) if re.search(r"[Ee]rror:", line))
    return next((line.strip() for line in errors if "ChildFailedError" not in line), "see the log")


class _LogTail:
    """Follows the training log, and logs one line every few seconds."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position = file.stat().st_size if file.exists() else 0
        self._reported = 0.0

    def report(
        self, on_progress: Callable[[dict[str, Any]], None] | None, *, last: bool = False
    ) -> None:
        if not self._file.exists():
            return
        with self._file.open("rb") as handle:
            handle.seek(self._position)
            content = handle.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._position += len(whole)
        records = [json.loads(line) for line in whole.splitlines()]
        for record in records:
            if on_progress is not None:
                on_progress(record)
        if records and (last or time.monotonic() - self._reported > _REPORT_SECONDS):
            self._reported = time.monotonic()
            record = records[-1]
            log.info(
                "step %d of %d, loss %.3f (main %.3f, self-supervised %.3f), %.0f examples/s, "
                "%.0f s left",
                record["step"],
                record["num_steps"],
                record["loss"],
                record["main_loss"],
                record["self_supervised_loss"],
                record["examples_per_second"],
                record["seconds_left"],
            )


def main() -> None:
    """Parse the command line; report through Dagster Pipes where Dagster started us."""
    parser = argparse.ArgumentParser(prog="longtail.training.launch", description=__doc__)
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--as-of", type=date.fromisoformat, required=True)
    parser.add_argument("--num-ranks", type=int, default=None)
    arguments = parser.parse_args()
    # A cancelled run arrives as a signal; as an exception it ends torchrun, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _launch(arguments)
    except LongtailError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)


def _launch(arguments: argparse.Namespace) -> None:
    from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, open_dagster_pipes

    if DAGSTER_PIPES_CONTEXT_ENV_VAR not in os.environ:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        result = train(arguments.config, arguments.as_of, num_ranks=arguments.num_ranks)
        sys.stdout.write(json.dumps(result) + "\n")
        return
    with open_dagster_pipes() as pipes:
        log.setLevel(logging.INFO)
        log.addHandler(_PipesHandler(pipes))
        result = train(arguments.config, arguments.as_of, num_ranks=arguments.num_ranks)
        pipes.report_asset_materialization(
            metadata={name: value for name, value in result.items() if value is not None},
            data_version=result["version"],
        )


class _PipesHandler(logging.Handler):
    """Forwards log records to Dagster."""

    def __init__(self, pipes: Any) -> None:
        super().__init__()
        self._pipes = pipes

    def emit(self, record: logging.LogRecord) -> None:
        self._pipes.log.info(self.format(record))


if __name__ == "__main__":
    main()
