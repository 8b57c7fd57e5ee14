"""The stage that measures the tuned baselines of a day: once for a training set, not a version."""

import logging
from datetime import date
from pathlib import Path

from longtail.artifacts import STAMP, RunPaths, read_json, replaced_folder, write_json
from longtail.config import Config
from longtail.evaluation.results import Baseline, LeftOut
from longtail.fingerprints import fingerprint, is_current, required_stamp, source_hash

log = logging.getLogger("longtail.evaluation")


def tuned_baselines(config: Config, as_of: date) -> dict[str, Baseline | LeftOut]:
    """Return the tuned baselines on the test part of a day, measured once and kept.

    Writes `runs/<day>/baselines/`, unless it is up to date.

    Args:
        config: the project.
        as_of: the day; its training set must be made.

    Returns:
        The tuned baselines of `measure_baselines`, by name.
    """
    folder = RunPaths(config, as_of).baselines
    identity = baselines_fingerprint(config, as_of)
    if not is_current(folder, identity):
        _measure(config, as_of, folder, identity)
    found: dict[str, Baseline | LeftOut] = read_json(_figures(folder))
    return found


def baselines_fingerprint(config: Config, as_of: date) -> str:
    """Return a hash of all that the figures depend on.

    Raises:
        LongtailError: the day has no training set.
    """
    training_set = RunPaths(config, as_of).training_set
    return fingerprint(
        required_stamp(training_set, made_by="dataset")["fingerprint"],
        config.evaluation.head_fraction,
        config.training.seed,
        source_hash("longtail.evaluation.baselines.measure"),
    )


def _measure(config: Config, as_of: date, folder: Path, identity: str) -> None:
    # Imported here because scipy takes time, which figures that are up to date must not cost.
    from longtail.dataset.training_set import load_training_set
    from longtail.evaluation.baselines.measure import measure_baselines
    from longtail.evaluation.baselines.registry import TUNED

    log.info("measuring the baselines of %s; this is done once for a training set", as_of)
    training_set = load_training_set(RunPaths(config, as_of).training_set)
    found = measure_baselines(training_set, config, names=tuple(TUNED))
    with replaced_folder(folder) as temporary:
        write_json(_figures(temporary), found)
        write_json(temporary / STAMP, {"fingerprint": identity})


def _figures(folder: Path) -> Path:
    return folder / "baselines.json"
