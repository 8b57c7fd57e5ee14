"""The whole configuration of a project: every section, and the paths."""

import os
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from longtail.config.data import ChecksConfig, CorrelationConfig, DatasetConfig, FeaturesConfig
from longtail.config.history import HistoryConfig
from longtail.config.learning import LossConfig, ModelConfig, SelfSupervisionConfig
from longtail.config.local_paths import local_path
from longtail.config.memory import MemoryConfig
from longtail.config.objective import CalibrationConfig
from longtail.config.release import (
    EvaluationConfig,
    GateConfig,
    IndexConfig,
    PublicationConfig,
    ScheduleConfig,
)
from longtail.config.report import ReportConfig
from longtail.config.section import Section
from longtail.config.sharding import ShardingConfig
from longtail.config.study import StudyConfig
from longtail.config.training import (
    CheckpointsConfig,
    ComputeConfig,
    ReportingConfig,
    TrainingConfig,
)
from longtail.config.tuning import TuningConfig
from longtail.errors import InputError


class Config(Section):
    """The whole configuration of one project: its paths, and every section."""

    feature_repo: Path = Field(
        description="Folder of the Feast repository, with feature_store.yaml. Every project sets "
        "it.",
    )
    feature_store: Path | None = Field(
        None,
        description="File with Feast's settings. Without it, feature_store.yaml in `feature_repo`. "
        "The environment variable FEAST_FS_YAML_FILE_PATH wins. Set it to use another online "
        "store with the same definitions.",
    )
    home: Path = Field(
        Path(".longtail"),
        description="Folder of runs, versions and logs. The environment variable LONGTAIL_HOME "
        "wins. Set it to a disk with room; a URI such as `s3://lake` is an error.",
    )
    features: FeaturesConfig = FeaturesConfig()
    checks: ChecksConfig = ChecksConfig()
    dataset: DatasetConfig = DatasetConfig()
    history: HistoryConfig = HistoryConfig()
    correlation: CorrelationConfig = CorrelationConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    self_supervision: SelfSupervisionConfig = SelfSupervisionConfig()
    training: TrainingConfig = TrainingConfig()
    sharding: ShardingConfig = ShardingConfig()
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    reporting: ReportingConfig = ReportingConfig()
    compute: ComputeConfig = ComputeConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    memory: MemoryConfig = MemoryConfig()
    study: StudyConfig = StudyConfig()
    tuning: TuningConfig = TuningConfig()
    gate: GateConfig = GateConfig()
    index: IndexConfig = IndexConfig()
    publication: PublicationConfig = PublicationConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    report: ReportConfig = ReportConfig()

    @property
    def sample_size(self) -> int:
        """Number of catalogue items drawn per batch; 0 when neither loss term wants any."""
        wanted = self.loss.mixed_negatives or self.self_supervision.augmenter.contrasts
        return (self.self_supervision.sample_size or self.training.batch_size) if wanted else 0

    @field_validator("feature_repo", "feature_store", "home", mode="before")
    @classmethod
    def _is_of_this_machine(cls, value: object, info: ValidationInfo) -> object:
        """Expand `~`. This is before pydantic makes a path of the text: `Path` spoils a URI."""
        if not isinstance(value, str | os.PathLike):
            return value
        try:
            return local_path(value, f"`{info.field_name}`")
        except InputError as error:
            # All wrong keys are named at once, so pydantic has to collect it.
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _sample_fits_batch(self) -> Self:
        size = self.self_supervision.sample_size
        if size is not None and size > self.training.batch_size:
            raise ValueError(
                f"self_supervision.sample_size ({size}) is larger than training.batch_size "
                f"({self.training.batch_size}): lower it, or leave it out"
            )
        num_masks, num_items = self.self_supervision.num_masks, size or self.training.batch_size
        if num_masks > num_items:
            raise ValueError(
                f"self_supervision.num_masks ({num_masks}) is larger than the number of sampled "
                f"items of a batch ({num_items}): lower it, so that each mask has an item"
            )
        return self
