"""Runs one contender in one process: `python -m features_parts.contenders NAME FOLDER`.

NAME is `ours` or `feast_pandas`. Both start from the Parquet tables of a project and end with the
examples of one epoch, shuffled, in batches of encoded features. Not counted for either: imports,
`feast apply`, and a first retrieval of one row, for which ibis loads its parts.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from features_parts.project import AS_OF, FIRST_DAY, SIDES, feature_names, project_config, view_name

from longtail.artifacts import RunPaths
from longtail.dataset.build_training_set import build_training_set
from longtail.dataset.sampler import ExampleSampler
from longtail.dataset.training_set import load_training_set
from longtail.features.feast.catalogue import build_catalogue
from longtail.features.feast.repository import FeatureRepository
from longtail.features.vocabulary import build_vocabularies

BATCH_SIZE = 4096


def warmed_up(folder: Path) -> FeatureRepository:
    """Return the project's repository after `feast apply` and a retrieval of one row."""
    repository = FeatureRepository(project_config(folder))
    repository.apply()
    moment = pa.array([FIRST_DAY], pa.timestamp("us", "UTC"))
    repository.point_in_time("item", pa.table({"item_id": ["nobody"], "event_timestamp": moment}))
    return repository


class Clock:
    """Measures the seconds of each stage: by the clock, and summed over all cores."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self._last = time.perf_counter(), time.process_time()

    def lap(self, stage: str) -> None:
        """End a stage, and begin the next one."""
        now = time.perf_counter(), time.process_time()
        self.seconds[stage] = now[0] - self._last[0]
        self.cpu_seconds[stage] = now[1] - self._last[1]
        self._last = now


def ours(folder: Path) -> tuple[int, Clock]:
    """Run the stages of `longtail dataset`, then read one epoch's batches.

    Returns:
        The number of examples, and the times.
    """
    config = warmed_up(folder).config
    clock = Clock()
    build_catalogue(config, AS_OF)
    clock.lap("catalogue")
    build_vocabularies(config, AS_OF)
    clock.lap("vocabularies")
    stamp = build_training_set(config, AS_OF)
    clock.lap("training_set")
    training_set = load_training_set(RunPaths(config, AS_OF).training_set)
    train = training_set.train
    sampler = ExampleSampler(len(train), BATCH_SIZE, world_size=1, rank=0, seed=0)
    order = sampler.epoch_order(0)
    for step in range(sampler.steps_per_epoch):
        positions, _ = sampler.batch(order, step)
        training_set.query_rows.columns(train.query_row[positions])
        training_set.item_rows.columns(train.item_row[positions])
    clock.lap("shuffled_epoch")
    return stamp["num_train"] + stamp["num_validation"] + stamp["num_test"], clock


def feast_pandas(folder: Path) -> tuple[int, Clock]:
    """Make Feast's data frame of all interactions, encode each column by pandas, permute the rows.

    Returns:
        The number of rows, and the times.
    """
    import pandas as pd

    from longtail.features.feast.sources import duckdb_session

    repository = warmed_up(folder)
    clock = Clock()
    rows = pd.read_parquet(repository.config.feature_repo / "data" / "interactions.parquet")
    references = [f"{view_name(s)}:{name}" for s in SIDES for name in feature_names(s)]
    with duckdb_session():
        frame = repository.store.get_historical_features(
            entity_df=rows, features=references
        ).to_df()
    assert len(frame) == len(rows)
    clock.lap("retrieved")
    codes: dict[str, Any] = {}
    for name in [f"{side}_id" for side in SIDES] + [n for s in SIDES for n in feature_names(s)]:
        column = frame.pop(name)
        if name.endswith(("topics", "words")):
            # A list column becomes flat codes and offsets, the same form as ours.
            flat = column.explode()
            values = pd.factorize(flat)[0].astype(np.int32)
            lengths = np.bincount(flat.index[values >= 0], minlength=len(column))
            codes[name] = (values[values >= 0], np.concatenate([[0], np.cumsum(lengths)]))
        else:
            codes[name] = pd.factorize(column)[0].astype(np.int32)
    clock.lap("encoded")
    order = np.random.default_rng(0).permutation(len(rows))
    # Ours ends with encoded batches, so gather them here as well.
    for start in range(0, len(order), BATCH_SIZE):
        positions = order[start : start + BATCH_SIZE]
        for encoded in codes.values():
            if isinstance(encoded, tuple):
                values, offsets = encoded
                starts = offsets[positions]
                lengths = offsets[positions + 1] - starts
                within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
                values[np.repeat(starts, lengths) + within]
            else:
                encoded[positions]
    clock.lap("shuffled_epoch")
    return len(rows), clock


def main() -> None:
    """Run the contender that the command line names, and print its figures as JSON."""
    contender, folder = sys.argv[1], Path(sys.argv[2])
    num_rows, clock = {"ours": ours, "feast_pandas": feast_pandas}[contender](folder)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    document = {
        "num_rows": num_rows,
        "seconds": sum(clock.seconds.values()),
        "peak_gib": sum(usage.ru_maxrss for usage in used) / 2**20,
        "stages": clock.seconds,
        "cpu_seconds": clock.cpu_seconds,
    }
    sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
