"""Tests of the written project: it loads, it is formatted, and a failure leaves none of it."""

import ast
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from longtail.checks.preflight import check_project
from longtail.config import load_config
from longtail.errors import InputError
from longtail.features.feast.repository import FeatureRepository
from longtail.init import project as making
from longtail.init.project import init_project
from longtail.init.project_files.configuration_text import choose_sizes
from longtail.init.project_plan import Request
from tests.init.raw import (
    NUM_ITEMS,
    files_below,
    interactions,
    items,
    make,
    queries,
    written,
)
from tests.projects import DEMO_REPOSITORY, default_day

FILES = [
    ".gitignore",
    *(f"feature_repo/data/{name}.parquet" for name in ("interactions", "items", "queries")),
    *("feature_repo/entities.py", "feature_repo/feature_store.yaml"),
    *("feature_repo/interactions.py", "feature_repo/item_embeddings.py", "feature_repo/items.py"),
    *("feature_repo/project.py", "feature_repo/queries.py", "feature_repo/roles.json"),
    "feature_repo/services.py",
    "longtail.yaml",
]
RICH = {
    "colour": ["red", "blue"] * 30,
    "tags": [["a", f"t{n % 9}"] for n in range(NUM_ITEMS)],
    "size": [n % 7 for n in range(NUM_ITEMS)],
    "code": [f"a code with a long description {n}-{n}-{n}-{n}" for n in range(NUM_ITEMS)],
    "a_very_long_name_of_a_feature_that_hardly_fits_on_a_line": ["x", None] * 30,
    "another_very_long_name_of_a_feature_that_hardly_fits_on_it": ["x", None] * 30,
    'quote " and \\ backslash \n newline': ["x", "y"] * 30,
    "when": pa.array([timedelta(1)] * NUM_ITEMS),
    "active": [True] * 59 + [False],
}


def test_the_project_has_these_files_and_no_others(tmp_path: Path) -> None:
    make(tmp_path)
    assert files_below(tmp_path) == [f"project/{file}" for file in FILES]


def test_the_schema_is_the_one_that_was_inferred(tmp_path: Path) -> None:
    document = make(tmp_path, items(**RICH), queries(likes=[f"t{n % 9}" for n in range(40)]))
    repository = FeatureRepository(load_config(tmp_path / "project" / "longtail.yaml"))
    repository.apply()
    schema = repository.schema()
    expected = [f["name"] for f in document["items"]["features"] if not f["left_out"]]
    assert [feature.name for feature in schema.item] == ["item_id", *expected]
    assert {feature.name: (feature.kind, feature.dtype) for feature in schema.item[1:4]} == {
        "colour": ("single", "string"),
        "tags": ("multi", "string"),
        "size": ("single", "integer"),
    }
    assert [feature.name for feature in schema.query] == ["query_id", "likes"]
    assert not schema.shared_ids
    latest = repository.latest("item", default_day(repository))
    assert latest["active"].to_pylist().count(False) == 1


def test_ids_alone_are_enough(tmp_path: Path) -> None:
    make(tmp_path)
    config = load_config(tmp_path / "project" / "longtail.yaml")
    assert [p for p in check_project(config, None).problems if p.severity == "error"] == []
    assert config.self_supervision.augmentation == "none"
    repository = FeatureRepository(config)
    repository.apply()
    assert [f.key for f in repository.schema().features] == [
        *("query.query_id", "query.present", "item.item_id", "item.present")
    ]


def test_the_definitions_are_formatted_and_hold_what_cannot_be_taken_in_comments(
    tmp_path: Path,
) -> None:
    make(tmp_path, items(**RICH), queries(likes=[f"t{n % 9}" for n in range(40)]))
    folder = tmp_path / "project" / "feature_repo"
    ruff = [str(Path(sys.executable).with_name("ruff")), "--isolated"]
    for command in (["check", "--select=E,F,W,I"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff[:1], *command, *ruff[1:], "--line-length=100", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    text = (folder / "items.py").read_text()
    assert "# - when: it is duration" in text
    ast.parse(text)


def test_the_definition_of_the_slots_is_the_demo_s(tmp_path: Path) -> None:
    make(tmp_path)
    name = "item_embeddings.py"
    own = (tmp_path / "project" / "feature_repo" / name).read_text()
    assert own == (DEMO_REPOSITORY / name).read_text()


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    make(tmp_path)
    before = (tmp_path / "project" / "longtail.yaml").read_text()
    with pytest.raises(InputError, match=r"has a feature_repo and a longtail\.yaml already"):
        make(tmp_path, items(colour=["red", "blue"] * 30))
    assert (tmp_path / "project" / "longtail.yaml").read_text() == before
    assert "colour" not in written(tmp_path, "items").column_names


def test_force_replaces_the_project_and_keeps_what_runs_produced(tmp_path: Path) -> None:
    make(tmp_path)
    produced = tmp_path / "project" / ".longtail" / "published.json"
    produced.parent.mkdir()
    produced.write_text("{}")
    (tmp_path / "project" / "notes.txt").write_text("mine")
    (tmp_path / "project" / ".gitignore").write_text("mine too\n")
    paths = [tmp_path / f"{name}.parquet" for name in ("items", "interactions")]
    pq.write_table(items(colour=["red", "blue"] * 30), paths[0])
    init_project(tmp_path / "project", Request(*paths), force=True)
    assert "colour" in written(tmp_path, "items").column_names
    assert (tmp_path / "project" / ".gitignore").read_text() == "mine too\n"
    kept = {"project/.longtail/published.json", "project/notes.txt"}
    assert set(files_below(tmp_path)) == {f"project/{file}" for file in FILES} | kept


def test_tables_inside_of_what_is_replaced_are_refused(tmp_path: Path) -> None:
    make(tmp_path)
    data = tmp_path / "project" / "feature_repo" / "data"
    request = Request(data / "items.parquet", data / "interactions.parquet")
    with pytest.raises(InputError, match="is in a folder that --force replaces"):
        init_project(tmp_path / "project", request, force=True)
    assert files_below(tmp_path) == [f"project/{file}" for file in FILES]


def test_the_given_tables_may_lie_in_the_project_s_folder_and_are_only_read(tmp_path: Path) -> None:
    for name, rows in (("items", items()), ("interactions", interactions())):
        pq.write_table(rows, tmp_path / f"{name}.parquet")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    init_project(tmp_path, Request(tmp_path / "items.parquet", tmp_path / "interactions.parquet"))
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert files_below(tmp_path) == FILES


@pytest.mark.parametrize("step", ["write_tables", "write_repository", "render_configuration"])
def test_a_failure_leaves_nothing(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(making, step, fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        make(tmp_path)
    assert files_below(tmp_path) == []
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (lambda f: Request(f / "none.parquet", f / "interactions.parquet"), "does not exist"),
        (lambda f: Request(f / "notes.md", f / "interactions.parquet"), "neither Parquet nor CSV"),
        (lambda f: Request(f / "broken.parquet", f / "interactions.parquet"), "not a Parquet file"),
        (lambda f: Request(f / "empty", f / "interactions.parquet"), "holds neither Parquet nor"),
        (lambda f: Request(f / "mixed", f / "interactions.parquet"), "holds both Parquet and CSV"),
        (lambda f: Request(f / "rowless.parquet", f / "interactions.parquet"), "is empty"),
        (lambda f: Request(f / "unlike", f / "interactions.parquet"), "do not have the same"),
    ],
)
def test_tables_that_are_none_are_named(
    request_of: Callable[[Path], Request], message: str, tmp_path: Path
) -> None:
    pq.write_table(interactions(), tmp_path / "interactions.parquet")
    pq.write_table(items().slice(0, 0), tmp_path / "rowless.parquet")
    (tmp_path / "notes.md").write_text("hello")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    for folder in ("empty", "mixed", "unlike"):
        (tmp_path / folder).mkdir()
    pq.write_table(items(), tmp_path / "mixed" / "a.parquet")
    (tmp_path / "mixed" / "b.csv").write_text("item_id\n1\n")
    pq.write_table(items(), tmp_path / "unlike" / "a.parquet")
    numbers = items(number=[1] * NUM_ITEMS).select(["number"]).rename_columns(["item_id"])
    pq.write_table(numbers, tmp_path / "unlike" / "b.parquet")
    with pytest.raises(InputError, match=message):
        init_project(tmp_path / "project", request_of(tmp_path))
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("num_pairs", "num_items", "batch_size", "num_epochs", "dim", "index"),
    [
        (100, 50, 64, 20, 32, "flat"),  # 2 steps an epoch, so the most epochs
        (134_860, 25_975, 1024, 8, 64, "flat"),  # 106 steps an epoch
        (1_000_000, 100_000, 4096, 5, 64, "hnsw"),  # 196 steps an epoch
        (100_000_000, 5_000_000, 4096, 3, 64, "hnsw"),
    ],
)
def test_sizes_follow_the_data(
    num_pairs: int, num_items: int, batch_size: int, num_epochs: int, dim: int, index: str
) -> None:
    sizes = choose_sizes(num_pairs, num_items)
    assert (sizes.batch_size, sizes.num_epochs) == (batch_size, num_epochs)
    assert (sizes.default_dim, sizes.index) == (dim, index)


def test_the_configuration_says_what_was_chosen(tmp_path: Path) -> None:
    make(tmp_path, items(colour=["red", "blue"] * 30))
    file = tmp_path / "project" / "longtail.yaml"
    config, text = load_config(file), file.read_text()
    sizes = choose_sizes(200, NUM_ITEMS)
    assert config.training.batch_size == sizes.batch_size == 64
    assert config.model.output_dim == sizes.output_dim
    assert set(yaml.safe_load(text)) == {
        *("feature_repo", "home", "features", "model", "history", "training", "index")
    }
    assert max(map(len, text.splitlines())) <= 100
