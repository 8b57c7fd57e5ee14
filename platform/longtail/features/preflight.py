"""A look at configuration, definitions and tables before a run writes anything."""

import logging
import tempfile
from datetime import date
from pathlib import Path

from longtail.config import Config
from longtail.features.store import FeatureRepository

log = logging.getLogger("longtail.features")


def check_data(config: Config, as_of: date | None) -> date:
    """Read everything that the catalogue of a day needs, and write nothing.

    The definitions are applied to a registry that is thrown away, where the project's registry is
    an embedded one. A registry that others share has these definitions anyway: there they are
    applied, which keeps the published slot.

    Args:
        config: the project.
        as_of: the day, or None for the default one.

    Returns:
        The day.

    Raises:
        InputError: a definition or a table is missing or wrong; the message says which.
    """
    with tempfile.TemporaryDirectory(prefix="longtail-") as folder:
        repository = FeatureRepository(config.model_copy(update={"home": Path(folder)}))
        if folder not in str(getattr(repository.store.config.registry, "path", "")):
            repository = FeatureRepository(config)
        repository.apply()
        day = repository.resolve_as_of(as_of)
        num_interactions = repository.interactions(day).num_rows
        num_items = repository.history("item", day).num_rows
        num_queries = repository.history("query", day).num_rows
    log.info(
        "data up to %s: %d interactions, %d item rows, %d query rows",
        *(day, num_interactions, num_items, num_queries),
    )
    return day
