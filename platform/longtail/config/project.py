"""The whole configuration of a project: every section, and the paths."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from longtail.config.data import ChecksConfig, CorrelationConfig, DatasetConfig, FeaturesConfig
from longtail.config.learning import LossConfig, ModelConfig, SelfSupervisionConfig
from longtail.config.release import (
    EvaluationConfig,
    GateConfig,
    IndexConfig,
    PublicationConfig,
    ScheduleConfig,
)
from longtail.config.section import Section
from longtail.config.sharding import ShardingConfig
from longtail.config.study import StudyConfig
from longtail.config.training import (
    CheckpointsConfig,
    ComputeConfig,
    ReportingConfig,
    TrainingConfig,
)


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
        "wins. Set it to a disk with room.",
    )
    features: FeaturesConfig = FeaturesConfig()
    checks: ChecksConfig = ChecksConfig()
    dataset: DatasetConfig = DatasetConfig()
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
    study: StudyConfig = StudyConfig()
    gate: GateConfig = GateConfig()
    index: IndexConfig = IndexConfig()
    publication: PublicationConfig = PublicationConfig()
    schedule: ScheduleConfig = ScheduleConfig()

    @property
    def sample_size(self) -> int:
        """Number of catalogue items drawn per batch; 0 when neither loss term wants any."""
        wanted = self.loss.mixed_negatives or self.self_supervision.augmenter.contrasts
        return (self.self_supervision.sample_size or self.training.batch_size) if wanted else 0

    @model_validator(mode="after")
    def _sample_fits_batch(self) -> Self:
        size = self.self_supervision.sample_size
        if size is not None and size > self.training.batch_size:
            raise ValueError(
                f"self_supervision.sample_size ({size}) is larger than training.batch_size "
                f"({self.training.batch_size}): lower it, or leave it out"
            )
        return self
