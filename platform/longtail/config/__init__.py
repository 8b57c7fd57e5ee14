"""One typed, strict configuration, read from YAML.

Each section belongs to one package, and is all of the configuration that the package reads.
Relative paths are relative to the configuration file. Unknown keys are errors.
CONFIGURATION.md lists every key.

    section.py     the base class of sections, and the number types that they share
    project.py     `Config`: the whole configuration
    data.py        features, checks, dataset, correlation
    history.py     history
    learning.py    model, loss, self_supervision
    training.py    training, checkpoints, reporting, compute
    sharding.py    sharding
    objective.py   calibration, and the terms of an objective
    release.py     evaluation, gate, index, publication, schedule
    study.py       study
    tuning.py      tuning
    changes.py     copies with other values, by dotted key
    table_names.py names that an embedding table cannot have
    report.py      report
    loading.py     reads a file, and explains every wrong key at once
    local_paths.py refuses URIs, and expands `~`
    reference.py   writes CONFIGURATION.md from the models
"""

from longtail.config.data import ChecksConfig, CorrelationConfig, DatasetConfig, FeaturesConfig
from longtail.config.history import HistoryConfig
from longtail.config.learning import LossConfig, ModelConfig, SelfSupervisionConfig
from longtail.config.loading import config_file, default_config_path, load_config
from longtail.config.local_paths import local_path, refuse_uri
from longtail.config.objective import CalibrationConfig
from longtail.config.project import Config
from longtail.config.release import (
    EvaluationConfig,
    GateConfig,
    IndexConfig,
    PublicationConfig,
    ScheduleConfig,
)
from longtail.config.report import ReportConfig
from longtail.config.section import Section
from longtail.config.sharding import ShardingConfig, TableShardingConfig
from longtail.config.study import StudyConfig
from longtail.config.training import (
    CheckpointsConfig,
    ComputeConfig,
    ReportingConfig,
    TrainingConfig,
)
from longtail.config.tuning import TuningConfig

__all__ = [
    "CalibrationConfig",
    "CheckpointsConfig",
    "ChecksConfig",
    "ComputeConfig",
    "Config",
    "CorrelationConfig",
    "DatasetConfig",
    "EvaluationConfig",
    "FeaturesConfig",
    "GateConfig",
    "HistoryConfig",
    "IndexConfig",
    "LossConfig",
    "ModelConfig",
    "PublicationConfig",
    "ReportConfig",
    "ReportingConfig",
    "ScheduleConfig",
    "Section",
    "SelfSupervisionConfig",
    "ShardingConfig",
    "StudyConfig",
    "TableShardingConfig",
    "TrainingConfig",
    "TuningConfig",
    "config_file",
    "default_config_path",
    "load_config",
    "local_path",
    "refuse_uri",
]
