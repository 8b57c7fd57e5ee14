"""`longtail init`: its output, its refusals, and a run of the project that it makes."""

import contextlib
import json
import os
import pty
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
    assert "colour one value 2 100% red one category" in words
    assert "(none given) query_id" in words
    assert "query_id key q0 the ids of the queries" in words
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


@pytest.fixture
def two_numbered_sides(tmp_path: Path) -> list[str]:
    """Write items and queries that are both numbered 1 to 80, and return the options."""
    numbered = pa.table({"id": list(range(1, 81)), "deleted": ["Y", "N", "N", "N"] * 20})
    bought = {"sku": [1 + n % 80 for n in range(400)], "buyer": [1 + n // 5 for n in range(400)]}
    for name, rows in (
        ("items", numbered),
        ("queries", numbered.select(["id"])),
        ("interactions", pa.table(bought)),
    ):
        pq.write_table(rows, tmp_path / f"{name}.parquet")
    return [f"--{n}={tmp_path}/{n}.parquet" for n in ("items", "queries", "interactions")]


def on_a_terminal(folder: Path, *arguments: str, answers: str) -> tuple[int, str, str]:
    """Run `longtail init` on a terminal; return exit code, what the terminal shows, and stdout."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "longtail.cli", "init", str(folder), *arguments]
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env=child_environment() | {"COLUMNS": "200"},
    ) as process:
        os.close(theirs)
        os.write(ours, answers.encode())
        shown = b""
        # The terminal is gone once the process has ended, which Linux reports as an error.
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65536):
                shown += part
        out = process.stdout.read() if process.stdout else ""
        code = process.wait()
    os.close(ours)
    return code, " ".join(shown.decode().split()), out


def test_an_open_question_is_asked_on_a_terminal(
    two_numbered_sides: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    code, shown, out = on_a_terminal(folder, *two_numbered_sides, answers="1\ny\n")
    assert "Which columns hold the ids of the items" in shown
    assert "1 id=sku (`sku` has 80 different values, such as 1, 10, 11) 2 id=buyer" in shown
    assert "`deleted` of the items says which of them still exist: 25.0% do not" in shown
    assert f"Write the project to {folder}? [Y/n]" in shown
    assert code == 0
    assert "longtail run --config" in out
    roles = json.loads((folder / "feature_repo" / "roles.json").read_text("utf-8"))
    assert roles["keys"]["items"] == {
        "column": "id",
        "interactions_column": "sku",
        "known": 1.0,
    }
    assert roles["tombstone"] == {"column": "deleted", "gone_share": 0.25}


def test_a_no_writes_nothing(two_numbered_sides: list[str], tmp_path: Path) -> None:
    code, shown, out = on_a_terminal(tmp_path / "shop", *two_numbered_sides, answers="1\nn\n")
    assert code == 1
    assert "Aborted" in shown
    assert (out, list(tmp_path.glob("shop")), list(tmp_path.glob(".longtail*"))) == ("", [], [])


@pytest.mark.parametrize("arguments", [("--yes",), ("--json",)])
def test_nothing_is_asked_where_nobody_answers(
    arguments: tuple[str, ...], two_numbered_sides: list[str], tmp_path: Path
) -> None:
    code, shown, _ = on_a_terminal(tmp_path / "shop", *two_numbered_sides, *arguments, answers="")
    assert code == 2
    assert "--item-key id=sku" in shown
    assert "--item-key id=buyer" in shown
    assert not (tmp_path / "shop").exists()


def test_explain_writes_nothing(
    tables: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = files_below(tmp_path)
    assert call(monkeypatch, tmp_path / "shop", *tables, "--explain") == 0
    words = " ".join(capfd.readouterr().out.split())
    assert "item_id key i0 unique in every row; 100% of the ids in `item_id`" in words
    assert "colour one value 2 100% red one category" in words
    assert "query_id key q0 the ids of the queries" in words
    assert "longtail run" not in words
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(
    ("what", "arguments"),
    [
        ("DIR", ("s3://lake/shop",)),
        ("--items", ("shop", "--items=s3://lake/items")),
        ("--queries", ("shop", "--queries=gs://lake/queries")),
        ("--interactions", ("shop", "--interactions=file:///lake/clicks")),
    ],
)
def test_a_uri_is_no_folder(
    what: str,
    arguments: tuple[str, ...],
    tables: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = files_below(tmp_path)
    assert call(monkeypatch, arguments[0], *tables, *arguments[1:]) == 2
    assert f"{what} is the URI " in " ".join(capfd.readouterr().err.split())
    assert files_below(tmp_path) == before
