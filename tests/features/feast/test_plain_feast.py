"""Feast without longtail: its command line and its Python interface see the same stores."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType

import pytest
from feast import FeatureStore

from longtail.config import Config
from longtail.features.feast.repository import FeatureRepository
from longtail.features.feast.sources import duckdb_session
from tests.features.conftest import make_project

FEAST = Path(sys.executable).parent / "feast"


def feast(*arguments: str, cwd: Path) -> str:
    """Run Feast's own command, and return its output."""
    environment = {key: value for key, value in os.environ.items() if key != "LONGTAIL_HOME"}
    run = subprocess.run(
        [str(FEAST), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture
def served(project: Config) -> Config:
    """Return the project with query features online, written through the adapter's store."""
    repository = FeatureRepository(project)
    repository.apply()
    materialize_queries(repository.store)
    return project


def materialize_queries(store: FeatureStore) -> None:
    with duckdb_session():
        store.materialize(
            start_date=datetime(2023, 1, 1, tzinfo=UTC),
            end_date=datetime(2024, 1, 9, tzinfo=UTC),
            feature_views=["queries"],
        )


def sections(store: FeatureStore) -> list[str | None]:
    answer = store.get_online_features(
        features=store.get_feature_service("query_features"),
        entity_rows=[{"query_id": "a"}, {"query_id": "q"}, {"query_id": "nobody"}],
    )
    values: list[str | None] = answer.to_dict()["section"]
    return values


def test_feast_reads_the_stores_of_the_adapter_from_both_folders(
    served: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = served.feature_repo.parent
    monkeypatch.chdir(folder)
    assert sections(FeatureStore(repo_path="feature_repo")) == ["net", "libs", None]
    monkeypatch.chdir(served.feature_repo)
    assert sections(FeatureStore(repo_path=".")) == ["net", "libs", None]
    files = {file.name for file in (folder / ".longtail" / "feast").iterdir()}
    assert files == {"registry.db", "online_store.db"}


def test_feast_apply_makes_the_stores_and_keeps_what_is_in_them(
    project: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.feature_repo.parent
    assert not project.home.exists()
    assert "Created feature view queries" in feast("-c", "feature_repo", "apply", cwd=folder)
    assert (project.home / "feast" / "registry.db").is_file()
    repository = FeatureRepository(project)
    assert [feature.name for feature in repository.schema().query] == ["query_id", "section"]
    assert repository.interactions(date(2024, 1, 9)).num_rows == 3
    repository.apply()
    materialize_queries(repository.store)
    assert "No changes to infrastructure" in feast("apply", cwd=project.feature_repo)
    monkeypatch.chdir(folder)
    assert sections(FeatureStore(repo_path="feature_repo")) == ["net", "libs", None]


def test_another_home_has_stores_of_its_own(project: Config, tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    repository = FeatureRepository(project.model_copy(update={"home": home}))
    repository.apply()
    assert repository.store.config.online_store.path == str(home / "feast" / "online_store.db")
    assert (home / "feast" / "registry.db").is_file()
    assert not (project.home / "feast" / "registry.db").exists()


def test_stores_that_are_not_embedded_stay_as_configured(
    project: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The driver is asked for when the store is opened; nothing connects here.
    monkeypatch.setitem(sys.modules, "psycopg", ModuleType("psycopg"))
    file = project.feature_repo / "feature_store.yaml"
    text = file.read_text("utf-8")
    text = text.replace("sqlite:///.longtail/feast/registry.db", "postgresql://host/feast")
    head, _ = text.split("online_store:")
    file.write_text(f"{head}online_store:\n  type: redis\n  connection_string: host:6379\n")
    config = FeatureRepository(project).store.config
    assert config.registry.path == "postgresql+psycopg://host/feast"
    assert config.online_store.connection_string == "host:6379"


def test_two_projects_in_one_process_are_kept_apart(
    unchanged_project: Config, tmp_path: Path
) -> None:
    other = make_project(tmp_path / "other")
    shutil.copyfile(
        other.feature_repo / "data" / "queries.parquet",
        other.feature_repo / "data" / "people.parquet",
    )
    definition = other.feature_repo / "queries.py"
    definition.write_text(
        definition.read_text("utf-8").replace("queries.parquet", "people.parquet")
    )
    FeatureRepository(other).apply()
    first = FeatureRepository(unchanged_project)
    first.apply()
    view = first.store.get_feature_view("queries")
    assert view.batch_source.path.endswith("queries.parquet")
    view = FeatureRepository(other).store.get_feature_view("queries")
    assert view.batch_source.path == str(other.feature_repo / "data" / "people.parquet")
