"""What the tests of the whole flow share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a child process that finds our packages, and nothing of this machine's
    own projects."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LONGTAIL_", "DAGSTER_"))
    }
    paths = [str(ROOT / "platform"), str(ROOT)]
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", **more}


@pytest.fixture(scope="module")
def own_environment() -> "pytest.MonkeyPatch":  # type: ignore[misc]
    """This process with the environment of `child_environment`, for what it starts itself."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("LONGTAIL_", "DAGSTER_")):
                patch.delenv(name)
        for name, value in child_environment().items():
            patch.setenv(name, value)
        yield patch
