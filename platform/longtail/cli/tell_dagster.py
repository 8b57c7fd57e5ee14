"""Tells the project's Dagster what is served, after a command that changed it."""

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from longtail.config import Config


def tell_dagster(project: Config, file: Path, console: Console) -> None:
    """Report the served version, in a process of its own, which imports Dagster.

    A failure is shown and raises nothing: the version is served all the same.

    Args:
        project: the project; without a Dagster home nothing is told.
        file: its configuration file.
        console: where a failure is shown.
    """
    if "DAGSTER_HOME" not in os.environ and not (project.home / "dagster").is_dir():
        return
    # -P keeps a folder named `assets` in the current directory from shadowing ours.
    command = [sys.executable, "-P", "-m", "assets.served", f"--config={file}"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        last = (told.stderr.strip() or "it did not say why").splitlines()[-1]
        console.print(f"Dagster's page of online_item_embeddings is not up to date: {last}")
