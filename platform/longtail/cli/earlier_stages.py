"""Makes the stages of a day that a command needs before its own work, none of them twice."""

import logging
from datetime import date
from typing import TYPE_CHECKING, Any, cast

from longtail.config import Config

if TYPE_CHECKING:
    from longtail.correlation.measures import Measure

log = logging.getLogger("longtail.features")


def make_catalogue(project: Config, as_of: date | None) -> date:
    """Check the project, make the day's catalogue, and return the day.

    Raises:
        InputError: a check found an error.
    """
    from longtail.checks.preflight import check_project
    from longtail.features.feast.catalogue import build_catalogue

    report = check_project(project, as_of)
    day = report.require()
    for notice in report.notices():
        log.warning(notice)
    build_catalogue(project, day)
    return day


def make_correlations(project: Config, day: date, measure: str | None = None) -> dict[str, Any]:
    """Measure the correlations of the day's catalogue, and plan the masks."""
    from longtail.correlation.mine import mine_correlations

    return mine_correlations(project, day, measure=cast("Measure | None", measure))


def make_training_set(project: Config, day: date) -> dict[str, Any]:
    """Make the day's vocabularies and training set."""
    from longtail.dataset.build_training_set import build_training_set
    from longtail.features.vocabulary import build_vocabularies

    build_vocabularies(project, day)
    return build_training_set(project, day)
