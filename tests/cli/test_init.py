"""`longtail init`: its output, its refusals, and a run of the project that it makes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.cli import main
from tests.init.raw import files_below, interactions, items
from tests.integration.conftest import child_environment

NUM_CLUSTERS, NUM_ITEMS, NUM_QUERIES = 12, 3_000, 1_000


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    """Write two small tables, and return the options that name them."""
    pq.write_table(items(colour=["red", "blue"] * 30), tmp_path / "items.parquet")
    pq.write_table(interactions(), tmp_path / "interactions.parquet")
    return [f"--items={tmp_path}/items.parquet", f"--interactions={tmp_path}/interactions.parquet"]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Call the entry point in this process, and return the exit code."""
    monkeypatch.setattr(sys, "argv", ["longtail", "init", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_json_is_one_document(
    tables: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, tmp_path / "shop", *tables, "--json") == 0
    document = json.loads(capfd.readouterr().out)
    assert document["configuration"] == str(tmp_path / "shop" / "longtail.yaml")
    assert document["items"]["num_keys"] == 60
    assert document["items"]["features"][0]["num_distinct"] == 2


def test_people_read_what_was_found_and_what_comes_next(
    tables: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, tmp_path / "my shop", *tables) == 0
    words = " ".join(capfd.readouterr().out.split())
    assert "colour one value 2 100%" in words
    assert "(none given) query_id" in words
    assert "the interactions have no times" in words
    assert f"longtail run --config '{tmp_path}/my shop/longtail.yaml'" in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "already: name another folder, or replace them with --force"),
        (("--force", "--item-key=sku"), "has no column `sku` of strings or whole numbers"),
        (("--force", "--items=nowhere.parquet"), "nowhere.parquet (--items) does not exist"),
    ],
)
def test_a_refusal_is_one_line_and_changes_nothing(
    arguments: tuple[str, ...],
    message: str,
    tables: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, tmp_path / "shop", *tables) == 0
    capfd.readouterr()
    before = {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)}
    assert call(monkeypatch, tmp_path / "shop", *tables, *arguments) == 2
    streams = capfd.readouterr()
    assert streams.out == ""
    assert len([line for line in streams.err.splitlines() if line.startswith("Error: ")]) == 1
    assert message in streams.err
    assert {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)} == before


def write_clusters(folder: Path) -> None:
    """Write three tables of items in twelve clusters, which their titles reveal.

    Each query keeps to one cluster. The ids are numbers, the times seconds since 1970.
    """
    rng = np.random.default_rng(0)
    cluster = rng.integers(0, NUM_CLUSTERS, NUM_ITEMS)
    members = [np.flatnonzero(cluster == number) for number in range(NUM_CLUSTERS)]
    topics = [[f"{group}word{n}" for n in range(8)] for group in "abcdefghijkl"]
    lines = ["id,title,topics,price"]
    for number, group in enumerate(cluster):
        words = rng.choice(topics[group], 3, replace=False)
        lines.append(
            f'{number},"Number {number}: the {" ".join(words)}",'
            f"{'|'.join(rng.choice(topics[group], 2, replace=False))},{rng.random():.4f}"
        )
    (folder / "products.csv").write_text("\n".join(lines) + "\n")
    taste = rng.integers(0, NUM_CLUSTERS, NUM_QUERIES)
    customers = pa.table({"id": np.arange(NUM_QUERIES), "plan": rng.choice(["free", "paid"], 1000)})
    pq.write_table(customers, folder / "customers.parquet")
    bought = [rng.choice(members[group], 12, replace=False) for group in taste]
    purchases = pa.table(
        {
            "customer": np.repeat(np.arange(NUM_QUERIES), 12),
            "product_id": np.concatenate(bought),
            "time": rng.integers(1_700_000_000, 1_705_000_000, 12 * NUM_QUERIES),
        }
    )
    pq.write_table(purchases, folder / "purchases.parquet")


def longtail(*arguments: object) -> dict[str, Any]:
    """Run a command as a user does, and return its document."""
    command = [str(Path(sys.executable).with_name("longtail")), *map(str, arguments), "--json"]
    done = subprocess.run(
        command, env=child_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_three_unseen_tables_to_neighbours_in_four_commands(tmp_path: Path) -> None:
    write_clusters(tmp_path)
    found = longtail(
        *("init", tmp_path / "shop", f"--items={tmp_path / 'products.csv'}"),
        f"--queries={tmp_path / 'customers.parquet'}",
        f"--interactions={tmp_path / 'purchases.parquet'}",
    )
    keys = [(found[s]["key"], found[s]["interactions_key"]) for s in ("items", "queries")]
    assert keys == [("id", "product_id"), ("id", "customer")]
    config = f"--config={tmp_path / 'shop' / 'longtail.yaml'}"
    run = longtail("run", config)
    assert run["published"]
    assert run["as_of"] == "2024-01-11"  # of second 1 705 000 000
    popularity = run["baselines"]["popularity_ranking"]["overall"]["recall@50"]
    assert run["metrics"]["overall"]["recall@50"] > 2 * popularity
    looked_up = longtail("lookup", "0", "none", config)["embeddings"]
    assert looked_up["none"] is None
    assert np.linalg.norm(looked_up["0"]) == pytest.approx(1.0, abs=1e-3)

    rng = np.random.default_rng(0)
    cluster = rng.integers(0, NUM_CLUSTERS, NUM_ITEMS)
    for item in (0, 1, 2):
        results = longtail("neighbours", item, "-k", "10", config)["results"]
        own = [cluster[int(result["item"])] == cluster[item] for result in results]
        assert np.mean(own) >= 0.9, (item, results)
    feast = [str(Path(sys.executable).with_name("feast"))]
    feast += ["-c", str(tmp_path / "shop" / "feature_repo")]
    for command in ("apply", "feature-services list"):
        done = subprocess.run(
            [*feast, *command.split()],
            cwd="/",
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert "item_embeddings" in done.stdout
    assert longtail("status", config)["version"] == run["version"]
