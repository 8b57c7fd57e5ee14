"""The demo itself: what `make demo` serves, looked at as its users would.

The two runs are the demo's own; where `make demo` has run before, they find everything done.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from longtail.config import default_config_path, load_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
DAYS = ("2023-06-10", "2025-08-09")


def longtail(*arguments: str) -> dict[str, Any]:
    """Run a command as a user would, and read its JSON document."""
    command = [str(Path(sys.executable).with_name("longtail")), *arguments, "--json"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    document: dict[str, Any] = json.loads(finished.stdout)
    return document


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, dict[str, Any]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LONGTAIL_HOME", raising=False)
        patch.delenv("LONGTAIL_CONFIG", raising=False)
        yield {day: longtail("run", "--as-of", day) for day in DAYS}


def test_both_days_reach_the_recall_that_was_promised(runs: dict[str, dict[str, Any]]) -> None:
    for day, document in runs.items():
        metrics = document["metrics"]
        assert metrics["overall"]["recall@50"] >= 0.62, (day, metrics)
        popularity = document["baselines"]["popularity_ranking"]["overall"]["recall@50"]
        assert metrics["overall"]["recall@50"] > 1.5 * popularity


@pytest.mark.usefixtures("runs")
def test_the_second_day_is_served() -> None:
    status = longtail("status")
    assert status["as_of"] == "2025-08-09"
    assert status["num_items"] == 68_824  # the packages of Debian 13
    states = {entry["version"]: entry["state"] for entry in longtail("versions")["versions"]}
    assert states[status["version"]] == "served"


@pytest.mark.usefixtures("runs")
def test_a_lookup_equals_the_file_and_what_feast_returns() -> None:
    from feast import FeatureStore

    config = load_config(default_config_path())
    document = longtail("lookup", "nginx", "no-such-package")
    assert document["embeddings"]["no-such-package"] is None
    vector = document["embeddings"]["nginx"]
    assert len(vector) == config.model.output_dim

    file = config.home / "versions" / document["version"] / "item_embeddings.parquet"
    table = pq.read_table(file)
    row = table.filter(pc.equal(table["item_id"], "nginx"))
    assert np.array_equal(np.float32(vector), np.float32(row["embedding"][0].as_py()))

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        store = FeatureStore(repo_path="feature_repo")
        service = store.get_feature_service("item_embeddings")
        online = store.get_online_features(
            features=service, entity_rows=[{"item_id": "nginx"}]
        ).to_dict()
    assert online["model_version"] == [document["version"]]
    assert np.array_equal(np.float32(online["embedding"][0]), np.float32(vector))


@pytest.mark.usefixtures("runs")
def test_neighbours_and_recommendations_make_sense() -> None:
    neighbours = longtail("neighbours", "python3-numpy")["results"]
    names = [result["item"] for result in neighbours[:10]]
    assert "python3-numpy" not in names
    assert sum(name.startswith("python3-") for name in names) >= 7, names
    scores = [result["score"] for result in neighbours]
    assert scores == sorted(scores, reverse=True)

    recommended = [r["item"] for r in longtail("recommend", "python3-pandas")["results"][:20]]
    assert "python3-numpy" in recommended, recommended


def test_the_same_seed_gives_the_same_model_bit_by_bit(tmp_path: Path) -> None:
    """With two threads on one rank, over an epoch of the first day."""
    models = []
    for name in ("one", "two"):
        file = tmp_path / f"{name}.yaml"
        settings = {
            "feature_repo": str(ROOT / "feature_repo"),
            "home": str(tmp_path / name),
            "training": {"num_epochs": 1, "threads_per_rank": 2},
        }
        file.write_text(yaml.safe_dump(settings))
        trained = longtail("train", "--config", str(file), "--as-of", DAYS[0])
        folder = tmp_path / name / "versions" / trained["version"]
        models.append((trained["final_loss"], (folder / "encoder.safetensors").read_bytes()))
    assert models[0] == models[1]


def test_popularity_correction_alone_reaches_its_bound(tmp_path: Path) -> None:
    """LogQ, no self-supervision, ten epochs on the first day."""
    file = tmp_path / "longtail.yaml"
    settings = {
        "feature_repo": str(ROOT / "feature_repo"),
        "home": str(tmp_path / "home"),
        "training": {"num_epochs": 10},
        "loss": {"mixed_negatives": False},
        "self_supervision": {"augmentation": "none"},
    }
    file.write_text(yaml.safe_dump(settings))
    where = ("--config", str(file), "--as-of", DAYS[0])
    version = longtail("train", *where)["version"]
    document = longtail("evaluate", *where)
    assert document["version"] == version
    metrics = document["metrics"]
    assert metrics["overall"]["recall@50"] >= 0.66, metrics
    assert metrics["tail"]["recall@50"] >= 0.13, metrics
