"""The whole configuration of a project: all sections together."""

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
    """The whole configuration of one project."""

    feature_repo: Path = Field(description="folder with feature_store.yaml")
    feature_store: Path | None = Field(
        None,
        description="Feast's settings, where they are not feature_store.yaml in `feature_repo`; "
        "FEAST_FS_YAML_FILE_PATH wins",
    )
    home: Path = Field(Path(".longtail"), description="where runs are kept; LONGTAIL_HOME wins")
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
        """Catalogue items drawn a batch; 0 when neither loss term wants any."""
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
