"""Cells: one model of a study, its identity, and the file that keeps its figures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from longtail.artifacts import STAMP, RunPaths, read_json, write_json
from longtail.augmentation.masking_plan import MaskingPlan
from longtail.config import Config, ShardingConfig
from longtail.config.changes import with_settings
from longtail.fingerprints import file_hash, fingerprint, required_stamp
from longtail.study.variants import VARIANTS

Part = Literal["validation", "test"]
Document = dict[str, Any]

# Settings of the section `training` that a cell never reads: it has its own number of epochs and
# patience, one rank, no checkpoint and no parent.
_UNREAD = {
    *("num_epochs", "early_stopping_epochs", "warm_start", "warm_start_epochs"),
    *("num_ranks", "threads_per_rank", "max_restarts"),
    *("checkpoint_every_steps", "keep_checkpoints", "log_every_steps"),
}

# The values that all cells had before these settings existed. They are left out of the identity, so
# that cells of that time keep theirs.
_VALUE_BEFORE_IT_WAS_A_SETTING = {
    "loss.accidental_hits": "known_positives",
    "loss.unborn_negatives": False,
    "self_supervision.mask_sharpness": None,
    "loss.logq_positive": "sampled",
    "self_supervision.num_masks": 1,
    "model.dropout": 0.0,
    "model.item_bias": "none",
    "training.learning_rate_decay": "none",
    "training.weight_decay": 0.0,
    "training.table_weight_decay": 0.0,
    "training.average_epochs": 1,
    "training.average_tables": False,
}


@dataclass(frozen=True)
class StudyData:
    """The data that all cells of a study train on and are measured on.

    Attributes:
        training_set: the folder of the training set.
        num_rows: rows of each embedding table.
        plans: the masking plan for each measure of correlation.
        fingerprints: for each measure a hash of the content of all three. A training set that is
            made again with the same content has the same hash.
    """

    training_set: Path
    num_rows: dict[str, int]
    plans: Mapping[str, MaskingPlan]
    fingerprints: Mapping[str, str]

    @classmethod
    def of_day(cls, config: Config, as_of: date, measures: Iterable[str] = ()) -> Self:
        """Return the data that the stages of a day have made.

        Args:
            config: the project; its own measure is always included.
            as_of: the day.
            measures: other measures of correlation; they must be mined.

        Raises:
            LongtailError: a stage has not finished.
        """
        run = RunPaths(config, as_of)
        required_stamp(run.training_set, made_by="dataset")
        num_rows = required_stamp(run.vocabularies, made_by="dataset")["num_rows"]
        files = sorted(file for file in run.training_set.iterdir() if file.name != STAMP)
        hashes = {file.name: file_hash(file) for file in files}
        # A hash for each measure, so that mining another one later leaves finished cells valid.
        plans = {}
        for measure in sorted({config.correlation.measure, *measures}):
            folder = run.correlations_by(measure)
            required_stamp(folder, made_by="mine")
            plans[measure] = MaskingPlan.from_json(read_json(folder / "correlations.json"))
        fingerprints = {
            measure: fingerprint(hashes, num_rows, plan.masks) for measure, plan in plans.items()
        }
        return cls(run.training_set, num_rows, plans, fingerprints)


@dataclass(frozen=True)
class Cell:
    """One model of a study: its data, its configuration, and the part that it is measured on.

    Attributes:
        variant: name of the variant.
        fraction: share of the training part.
        seed: seed of initial weights, batches, masks and samples.
        num_epochs: passes over that share.
        part: `validation` for a trial, measured after every epoch; `test` for a cell that is
            reported, measured at the end.
        settings: chosen or tried hyper-parameters, by dotted key.
        base: the study's configuration, before variant and settings.
        data: fingerprint of the data that it is trained and measured on.
    """

    variant: str
    fraction: float
    seed: int
    num_epochs: int
    part: Part
    settings: dict[str, Any] = field(hash=False)
    base: Config = field(repr=False, hash=False)
    data: str = field(repr=False)

    @cached_property
    def config(self) -> Config:
        """The whole configuration that the model is trained with."""
        settings = {**self.settings, "training.seed": self.seed}
        return with_settings(VARIANTS[self.variant](self.base), settings)

    @cached_property
    def identity(self) -> Document:
        """The settings and data that the figures depend on.

        The code is not part of it; its hash is recorded beside the figures.
        """
        sections = ("model", "loss", "self_supervision")
        content = self.config.model_dump(mode="json")
        identity = {
            "data": self.data,
            "variant": self.variant,
            "fraction": self.fraction,
            "seed": self.seed,
            "num_epochs": self.num_epochs,
            "part": self.part,
            **{section: content[section] for section in sections},
            "training": {k: v for k, v in content["training"].items() if k not in _UNREAD},
            "head_fraction": content["evaluation"]["head_fraction"],
        }
        # A cell is trained on one rank, where this setting has no effect.
        del identity["loss"]["negatives_across_ranks"]
        for key, value in _VALUE_BEFORE_IT_WAS_A_SETTING.items():
            section, name = key.split(".")
            if identity[section][name] == value:
                del identity[section][name]
        # Cells without histories keep the identity that they had before there were any.
        if content["history"]["length"]:
            identity["history"] = content["history"]
        sharding = self.config.sharding
        # Adagrad was the optimizer of all cells before it became part of the identity, whatever the
        # default is now.
        if sharding.learned != ShardingConfig(optimizer="adagrad").learned:
            identity["sharding"] = sharding.learned
        # A trial also depends on how it is measured and when it is stopped.
        if self.part == "validation":
            study = self.base.study.model_dump(mode="json")
            read = ("metric", "metric_slice", "patience", "max_validation_queries")
            identity["study"] = {name: study[name] for name in read}
        return identity

    @property
    def name(self) -> str:
        """A readable name, made unique by a hash of the identity."""
        return (
            f"{self.variant}-{self.fraction:g}-seed{self.seed}-{self.num_epochs}epochs-"
            f"{fingerprint(self.identity)[:12]}"
        )

    @property
    def cost(self) -> float:
        """Time to train, relative to an epoch of the whole training part without a sample."""
        # A step with sampled items takes about 1.7 times as long as one without.
        return self.num_epochs * self.fraction * (1.7 if self.config.sample_size else 1.0)


class CellStore:
    """The finished cells of a study, one JSON file each.

    Args:
        folder: the folder of the study; cells are in `cells/`, tuning trials in `trials/`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, cell: Cell) -> Path:
        """Return the file of a cell's figures, whether it exists yet or not."""
        kind = "cells" if cell.part == "test" else "trials"
        return self.folder / kind / f"{cell.name}.json"

    def read(self, cell: Cell) -> Document | None:
        """Return the figures of a finished cell, or None."""
        file = self.file(cell)
        if not file.is_file():
            return None
        document: Document = read_json(file)
        return document

    def write(self, cell: Cell, figures: Document) -> Document:
        """Write a cell's figures, together with all that identifies the cell, and return both."""
        document = {
            "variant": cell.variant,
            "fraction": cell.fraction,
            "seed": cell.seed,
            "num_epochs": cell.num_epochs,
            "part": cell.part,
            "settings": cell.settings,
            **figures,
            "identity": cell.identity,
        }
        write_json(self.file(cell), document)
        return document
