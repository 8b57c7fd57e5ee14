"""`python -m assets.served`: tells Dagster which version is served, after a rollback by command.

The page of `online_item_embeddings` shows what was materialized last. A rollback makes that the
version that is served again.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import AssetMaterialization, DagsterInstance

from assets.metadata import figures


def served_now(status: Mapping[str, Any]) -> AssetMaterialization:
    """Return the event that makes a version the last one on the page of the online embeddings.

    Args:
        status: what `longtail.embeddings.publish.status` or `rollback` returned.
    """
    return AssetMaterialization(
        "online_item_embeddings",
        description="Served again after a rollback",
        partition=status["as_of"],
        metadata=figures(status),
    )


def main() -> None:
    """Report what is served to the project's Dagster, if it has one."""
    from assets.run import dagster_home
    from longtail.config import load_config
    from longtail.embeddings.publish import status

    parser = argparse.ArgumentParser(prog="python -m assets.served", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    config = load_config(parser.parse_args().config)
    home = dagster_home(config)
    if not (home / "dagster.yaml").is_file():
        return
    os.environ["DAGSTER_HOME"] = str(home)
    with DagsterInstance.get() as instance:
        instance.report_runless_asset_event(served_now(status(config)))


if __name__ == "__main__":
    main()
