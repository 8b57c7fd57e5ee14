"""The whole flow on a small project: a day that is published, then a day that the gate refuses."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from assets.definitions import defs
from assets.table_checks import OF_TABLES, OF_THE_PROJECT
from longtail.artifacts import RunPaths, VersionPaths, published_pointer, read_json
from longtail.config import Config, load_config
from tests.blocks import NUM_ITEMS, NUM_QUERIES, fashionable_choices, write_blocks
from tests.integration.conftest import child_environment
from tests.projects import write_tables

# Dagster's own Pipes client uses what Dagster calls deprecated, and what it calls a preview.
pytestmark = [
    pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.PreviewWarning"),
]

FIRST, SECOND = "2024-01-05", "2024-01-06"


@dataclass
class Refreshed:
    """A project, and what Dagster recorded of its first refresh."""

    folder: Path
    config: Config
    result: dg.ExecuteInProcessResult

    @property
    def file(self) -> Path:
        return self.folder / "longtail.yaml"

    def metadata(self, asset: str) -> dict[str, Any]:
        """The metadata of an asset's materialization."""
        (event,) = self.result.asset_materializations_for_node(asset)
        return {name: value.value for name, value in event.metadata.items()}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`longtail ARGUMENTS` on the project, from another folder."""
        return subprocess.run(
            [sys.executable, "-m", "longtail.cli", *arguments, f"--config={self.file}"],
            cwd=self.folder,
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def refreshed(
    tmp_path_factory: pytest.TempPathFactory, own_environment: pytest.MonkeyPatch
) -> Refreshed:
    folder = tmp_path_factory.mktemp("blocks")
    file = write_blocks(folder)
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("refresh").execute_in_process(
            instance=instance,
            partition_key=FIRST,
            run_config={"resources": {"project": {"config": {"config_file": str(file)}}}},
            raise_on_error=False,
        )
    return Refreshed(folder, load_config(file), result)


def test_a_day_goes_from_tables_to_served_embeddings(refreshed: Refreshed) -> None:
    assert refreshed.result.success
    served = read_json(published_pointer(refreshed.config))
    assert served["as_of"] == FIRST
    assert served["num_items"] == NUM_ITEMS
    assert served["version"] == refreshed.metadata("two_tower_model")["version"]
    evaluations = refreshed.result.get_asset_check_evaluations()
    assert len(evaluations) == 9 + len(OF_TABLES) + len(OF_THE_PROJECT)
    # Data of past years are not fresh, and a check says so; it stops nothing.
    assert [e.check_name for e in evaluations if not e.passed] == ["served_data_are_fresh"]


def test_people_see_counts_curves_and_neighbours(refreshed: Refreshed) -> None:
    catalogue = refreshed.metadata("catalogue")
    assert (catalogue["num_items"], catalogue["num_queries"]) == (NUM_ITEMS, NUM_QUERIES)
    assert "data:image/png;base64," in refreshed.metadata("two_tower_model")["loss_curve"]
    assert "data:image/png;base64," in refreshed.metadata("feature_correlations")["heat_map"]
    evaluation = refreshed.metadata("retrieval_evaluation")
    assert (
        evaluation["overall_recall_at_50"]
        == read_json(VersionPaths(refreshed.config, evaluation["version"]).metrics)["metrics"][
            "overall"
        ]["recall@50"]
    )
    (event,) = refreshed.result.asset_materializations_for_node("item_index")
    sample = event.metadata["sample_neighbours"]
    assert isinstance(sample, dg.TableMetadataValue)
    first = sample.records[0].data
    item, neighbours = str(first["item"]), str(first["neighbours"]).split(", ")
    assert item not in neighbours
    assert len(neighbours) == len(set(neighbours)) > 1


def test_lookup_prints_the_row_of_the_file(refreshed: Refreshed) -> None:
    done = refreshed.command("lookup", "item-017", "item-none", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    table = pq.read_table(VersionPaths(refreshed.config, document["version"]).embeddings)
    row = table["item_id"].to_pylist().index("item-017")
    assert document["embeddings"] == {
        "item-017": table["embedding"][row].as_py(),
        "item-none": None,
    }


def test_neighbours_and_recommendations_are_of_the_same_section(refreshed: Refreshed) -> None:
    recommended = refreshed.command("recommend", "query-003", "-k", "10", "--json")
    assert recommended.returncode == 0, recommended.stderr
    document = json.loads(recommended.stdout)
    scores = [result["score"] for result in document["results"]]
    assert scores == sorted(scores, reverse=True)
    sections = [int(result["item"].removeprefix("item-")) % 8 for result in document["results"]]
    assert sections.count(3) >= 8
    neighbours = refreshed.command("neighbours", "item-003", "-k", "3")
    assert neighbours.returncode == 0, neighbours.stderr
    assert "Most like item-003" in neighbours.stdout


def test_the_feature_server_gives_the_same_vector_and_ends_when_asked(
    refreshed: Refreshed,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["serve", f"--port={port}", "--json", f"--config={refreshed.file}"]
    server = subprocess.Popen(
        [sys.executable, "-m", "longtail.cli", *arguments],
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        assert url == f"http://127.0.0.1:{port}"
        question = {"feature_service": "item_embeddings", "entities": {"item_id": ["item-017"]}}
        request = urllib.request.Request(
            f"{url}/get-online-features",
            json.dumps(question).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
    finally:
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=60)
    assert server.returncode == 0, errors
    column = answer["metadata"]["feature_names"].index("embedding")
    version = read_json(published_pointer(refreshed.config))["version"]
    table = pq.read_table(VersionPaths(refreshed.config, version).embeddings)
    row = table["item_id"].to_pylist().index("item-017")
    assert answer["results"][column]["values"] == [table["embedding"][row].as_py()]


def test_a_refused_day_publishes_nothing(refreshed: Refreshed) -> None:
    """Everybody follows one fashion now, so no model is better than the popularity ranking."""
    before = published_pointer(refreshed.config).read_bytes()
    write_tables(refreshed.folder, interactions=fashionable_choices())
    done = refreshed.command("run", f"--as-of={SECOND}", "--json")
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout)
    assert document["approved"] is False
    assert document["served"]["as_of"] == FIRST
    own = document["metrics"]["overall"]["recall@50"]
    assert own <= document["baselines"]["popularity_ranking"]["overall"]["recall@50"]
    assert done.stderr.splitlines()[-1].startswith("Error: the gate refuses version 20240106-")
    assert published_pointer(refreshed.config).read_bytes() == before
    assert not RunPaths(refreshed.config, date.fromisoformat(SECOND)).approved.exists()
    version = VersionPaths(refreshed.config, document["version"])
    assert version.metrics.exists()
    assert not version.embeddings.exists()
    status = json.loads(refreshed.command("status", "--json").stdout)
    assert status["version"] == document["served"]["version"]
