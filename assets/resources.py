"""What the assets are handed: the project they work on, and how training is started."""

from dagster import ConfigurableResource, PipesSubprocessClient
from pydantic import Field

from longtail.config import Config, config_file, load_config

# On termination the launcher stops torchrun, which lets every rank finish its checkpoint.
# Dagster's own 20 seconds are too short for that.
TERMINATION_TIMEOUT_SECONDS = 60.0


class Project(ConfigurableResource[None]):
    """The project that is refreshed: its configuration file."""

    config_file: str = Field(
        default=str(config_file()),
        description="YAML; default: LONGTAIL_CONFIG, else the demo's",
    )

    def load(self) -> Config:
        """Read the configuration.

        Raises:
            InputError: it is missing or wrong.
        """
        return load_config(self.config_file)


def resources() -> dict[str, object]:
    """The resources by the names under which assets ask for them."""
    return {
        "project": Project(),
        "pipes": PipesSubprocessClient(termination_timeout_seconds=TERMINATION_TIMEOUT_SECONDS),
    }
