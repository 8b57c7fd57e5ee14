"""The launcher of a training run: prepares the version's folder, starts torchrun, reports.

`python -m longtail.training.launch --config FILE --as-of DAY [--num-ranks N]`. If Dagster started
it through Pipes, it forwards log lines and metadata to Dagster. No other module of training knows
Dagster. If the environment names a `PROGRESS_FILE`, it also appends each record of losses there.

Exit codes: 0 trained, 1 failed, 2 wrong configuration, 75 told to stop by SIGTERM or SIGINT. After
75, start the same command again: it goes on from the checkpoint of the last step.
"""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.augmentation.masking_plan import MaskingPlan
from longtail.config import Config, load_config
from longtail.errors import LongtailError
from longtail.training.checkpoint_files import checkpoints
from longtail.training.checkpoint_selection import validation_metric
from longtail.training.interruption import STOP_SIGNALS, TrainingInterruptedError
from longtail.training.launch.setting_checks import check_settings
from longtail.training.launch.torchrun import only_one, run_ranks
from longtail.training.launch.training_log import PROGRESS_FILE, LogTail
from longtail.training.launch.version_inputs import copy_inputs
from longtail.training.launch.version_name import version_name
from longtail.training.process_setup import check_num_ranks
from longtail.training.reports import JsonLines, require_tensorboard
from longtail.training.warm_start import warm_start_parent

log = logging.getLogger("longtail.training")


def train(
    config_path: Path | None,
    as_of: date,
    *,
    num_ranks: int | None = None,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train the version of a day. A version that is trained already is not trained again.

    An interrupted run of the same version goes on from its newest checkpoint. SIGTERM or SIGINT
    stops the ranks after their current step, with a checkpoint of that step.

    Args:
        config_path: the configuration file. None: the default one.
        as_of: the day. Its training set and its correlations must exist.
        num_ranks: the number of processes. None: as configured.
        on_progress: called with each new record of losses. Without it, a log line is written every
            few seconds.

    Returns:
        `{"version", "as_of", "num_ranks", "num_epochs", "parent", "num_steps", "final_loss",
        "examples_per_second", "ended", "model_steps", "model_epoch", "model_score"}`, also written
        to the run's `model.json`. `ended` is the reason why training ended. The model is that of
        the checkpoint of the last of `model_steps`, or the mean of all of them.

    Raises:
        TrainingInterruptedError: a signal stopped the run.
        LongtailError: training failed. The message names the log file.
    """
    config = load_config(config_path)
    version = version_name(config, as_of)
    paths = VersionPaths(config, version)
    with only_one(config.home / "locks" / f"{version}.lock"):
        if paths.training.is_file():
            log.info("version %s is trained already", version)
        else:
            ranks = num_ranks or config.training.num_ranks
            _train(config, config_path, as_of, paths, ranks, on_progress)
    result: dict[str, Any] = read_json(paths.training)
    write_json(RunPaths(config, as_of).model, result)
    return result


def _train(
    config: Config,
    config_path: Path | None,
    as_of: date,
    paths: VersionPaths,
    num_ranks: int,
    on_progress: Callable[[dict[str, Any]], None] | None,
) -> None:
    """Run the ranks of a version that is not trained yet, and follow their log."""
    parent = warm_start_parent(config, as_of) if config.training.warm_start else None
    check_num_ranks(num_ranks)
    _prepare(config, as_of, paths)
    steps = checkpoints(paths.checkpoints)
    start = f"warm start from {parent}" if parent else "cold start"
    start = f"going on after step {steps[-1]}" if steps else start
    log.info("training version %s on %d rank(s), %s", paths.version, num_ranks, start)
    with LogTail(paths.training_log, on_progress) as tail:
        try:
            run_ranks(
                config,
                config_path,
                as_of,
                paths,
                num_ranks=num_ranks,
                parent=parent,
                on_poll=tail.report,
            )
        finally:
            tail.report(last=True)
    if config.training.early_stopping_epochs is not None:
        result = read_json(paths.training)
        log.info(
            "training ended: %s; epoch %d is the model", result["ended"], result["model_epoch"]
        )


def _prepare(config: Config, as_of: date, paths: VersionPaths) -> None:
    """Fill the version's folder with the inputs that the model depends on.

    Raises:
        InputError: the configuration asks for something that cannot work. It is raised here,
            before any rank starts.
    """
    run = RunPaths(config, as_of)
    correlations = read_json(run.correlations / "correlations.json")
    plan = MaskingPlan.from_json(correlations)
    config.self_supervision.augmenter.masks(correlations["features"], plan)  # raises if impossible
    if config.reporting.tensorboard:
        require_tensorboard()
    if config.checkpoints.best_by not in (None, "training_loss"):
        validation_metric(config.checkpoints.best_by)
    check_settings(config, run)
    copy_inputs(config, run, paths)
    # Without checkpoints the run starts from step 0, so an old log would tell of steps to come.
    if not paths.checkpoints.is_dir():
        paths.training_log.unlink(missing_ok=True)
    paths.checkpoints.mkdir(exist_ok=True)


def main() -> None:
    """Parse the command line and train. Report through Dagster Pipes if Dagster started this."""
    parser = argparse.ArgumentParser(prog="longtail.training.launch", description=__doc__)
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--as-of", type=date.fromisoformat, required=True)
    parser.add_argument("--num-ranks", type=int, default=None)
    arguments = parser.parse_args()
    # Before and after the ranks work, nothing is lost by ending at once. Both handlers are set
    # explicitly, because the parent process may have passed these signals on as ignored.
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: sys.exit(TrainingInterruptedError.exit_code))
    try:
        _launch(arguments)
    except LongtailError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)


def _launch(arguments: argparse.Namespace) -> None:
    """Train, and report the result to Dagster or on standard output."""
    from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, open_dagster_pipes

    def run() -> dict[str, Any]:
        file = os.environ.get(PROGRESS_FILE)
        return train(
            arguments.config,
            arguments.as_of,
            num_ranks=arguments.num_ranks,
            on_progress=JsonLines(Path(file)).write if file else None,
        )

    if DAGSTER_PIPES_CONTEXT_ENV_VAR not in os.environ:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        sys.stdout.write(json.dumps(run()) + "\n")
        return
    with open_dagster_pipes() as pipes:
        # Dagster's log has every line, also those that `longtail run` leaves out beside its bar.
        log.setLevel(logging.DEBUG)
        log.addHandler(_PipesHandler(pipes))
        result = run()
        pipes.report_asset_materialization(
            metadata={name: value for name, value in result.items() if value is not None},
            data_version=result["version"],
        )


class _PipesHandler(logging.Handler):
    """Forwards log records to Dagster, each with its level."""

    def __init__(self, pipes: Any) -> None:
        super().__init__()
        self._pipes = pipes

    def emit(self, record: logging.LogRecord) -> None:
        self._pipes.log.log(record.levelno, self.format(record))
