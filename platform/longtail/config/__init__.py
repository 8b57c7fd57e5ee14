"""One typed, strict configuration, read from YAML.

Each section belongs to the package of the same name and is all that this package reads.
Relative paths are relative to the configuration file. Unknown keys are errors.
"""

from longtail.config.data import ChecksConfig, CorrelationConfig, DatasetConfig, FeaturesConfig
from longtail.config.learning import LossConfig, ModelConfig, SelfSupervisionConfig
from longtail.config.loading import config_file, default_config_path, load_config
from longtail.config.project import Config
from longtail.config.release import (
    EvaluationConfig,
    GateConfig,
    IndexConfig,
    PublicationConfig,
    ScheduleConfig,
)
from longtail.config.section import Section
from longtail.config.sharding import ShardingConfig, TableShardingConfig
from longtail.config.study import StudyConfig
from longtail.config.training import (
    CheckpointsConfig,
    ComputeConfig,
    ReportingConfig,
    TrainingConfig,
)

__all__ = [
    "CheckpointsConfig",
    "ChecksConfig",
    "ComputeConfig",
    "Config",
    "CorrelationConfig",
    "DatasetConfig",
    "EvaluationConfig",
    "FeaturesConfig",
    "GateConfig",
    "IndexConfig",
    "LossConfig",
    "ModelConfig",
    "PublicationConfig",
    "ReportingConfig",
    "ScheduleConfig",
    "Section",
    "SelfSupervisionConfig",
    "ShardingConfig",
    "StudyConfig",
    "TableShardingConfig",
    "TrainingConfig",
    "config_file",
    "default_config_path",
    "load_config",
]
