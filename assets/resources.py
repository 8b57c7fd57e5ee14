"""The resources that Dagster hands to assets: the project, and the client for training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster import ConfigurableResource, InitResourceContext, PipesSubprocessClient
from pydantic import Field

from assets.run_processes import held_by_this_process
from longtail.config import Config, config_file, load_config

# On termination the launcher stops torchrun, and every rank finishes its checkpoint. Dagster's
# default of 20 seconds is too short for that.
TERMINATION_TIMEOUT_SECONDS = 60.0


class Project(ConfigurableResource[None]):
    """The project to refresh: its configuration file."""

    config_file: str = Field(
        default=str(config_file()),
        description="Configuration file; default: LONGTAIL_CONFIG, else the demo's",
    )

    def load(self) -> Config:
        """Read the configuration.

        Raises:
            InputError: the file is missing or wrong.
        """
        return load_config(self.config_file)

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Iterator[Any]:
        """Yield the resource for the time of a run, which holds its lock meanwhile.

        Every step asks for the project, so no way to start a run leaves the lock out.
        """
        if context.instance is None or context.run is None:
            yield self
            return
        with held_by_this_process(context.instance, context.run.run_id):
            yield self


def resources() -> dict[str, object]:
    """Return the resources by the names under which assets ask for them."""
    return {
        "project": Project(),
        "pipes": PipesSubprocessClient(termination_timeout_seconds=TERMINATION_TIMEOUT_SECONDS),
    }
