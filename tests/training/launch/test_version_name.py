"""The settings that shape how a version learns are part of its name."""

from typing import Any

import pytest

from longtail.artifacts import RunPaths
from longtail.config import Config
from longtail.training.launch.version_name import modules_that_learn, version_name
from tests.evaluation.small_project import make_config, make_day
from tests.training.launch.launched import DAY
from tests.uncorrelated import write_correlations

VALIDATION = "longtail.evaluation.validation"
CHANGES: dict[str, dict[str, Any]] = {
    "dropout": {"model": {"dropout": 0.1}},
    "learning_rate_decay": {"training": {"learning_rate_decay": "cosine"}},
    "weight_decay": {"training": {"weight_decay": 0.1}},
    "table_weight_decay": {"training": {"table_weight_decay": 0.1}},
    "average_epochs": {"training": {"average_epochs": 2}},
    "average_tables": {"training": {"average_tables": True}},
    "early_stopping_epochs": {"training": {"early_stopping_epochs": 2}},
    "its patience": {"training": {"early_stopping_epochs": 3}},
    "its measure": {
        "training": {"early_stopping_epochs": 3},
        "checkpoints": {"best_by": f"{VALIDATION}:map_at_50"},
    },
    "history": {"history": {"length": 5}},
    "drop_history": {"history": {"length": 5, "drop_history": 0.1}},
    "drop_query_id": {"history": {"length": 5, "drop_query_id": 0.1}},
    "its queries": {
        "training": {"early_stopping_epochs": 3},
        "study": {"max_validation_queries": 7},
    },
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    made = make_config(tmp_path_factory.mktemp("home"))
    make_day(made, DAY, 40)
    write_correlations(RunPaths(made, DAY).correlations, ["item_id", "section", "tags"])
    return made


def changed(config: Config, sections: dict[str, Any]) -> Config:
    return config.model_copy(
        update={
            section: getattr(config, section).model_copy(update=settings)
            for section, settings in sections.items()
        }
    )


def test_each_setting_makes_another_version(config: Config) -> None:
    names = {"": version_name(config, DAY)}
    for setting, sections in CHANGES.items():
        names[setting] = version_name(changed(config, sections), DAY)
    assert len(set(names.values())) == len(CHANGES) + 1
    # Without a measure nobody asks how many queries it would rank.
    unasked = changed(config, {"study": {"max_validation_queries": 7}})
    assert version_name(unasked, DAY) == names[""]
    # Without a history nothing of it is dropped.
    nothing_dropped = changed(config, {"history": {"drop_history": 0.1, "drop_query_id": 0.1}})
    assert version_name(nothing_dropped, DAY) == names[""]


def test_early_stopping_learns_by_the_code_of_its_measure(config: Config) -> None:
    assert VALIDATION not in modules_that_learn(config)
    stopping = changed(config, CHANGES["early_stopping_epochs"])
    assert VALIDATION in modules_that_learn(stopping)
    assert stopping.checkpoints.measure(stopping.training) == f"{VALIDATION}:recall_at_50"
    assert config.checkpoints.measure(config.training) is None
