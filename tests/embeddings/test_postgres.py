"""A real Postgres as registry and online store: down, refusing, stopped midway, restarted."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from longtail.checks.preflight import check_project
from longtail.cli import main
from longtail.config import load_config
from longtail.embeddings import fill_slot as slots
from longtail.embeddings.publish import publish, publish_query_features, status
from longtail.errors import LongtailError
from longtail.features.feast.online_query_features import OnlineQueries
from longtail.features.feast.repository import FeatureRepository
from longtail.features.feast.store_errors import StoreError
from longtail.serving.client import EmbeddingClient
from tests.embeddings.stores import PASSWORD, Postgres, postgres_server
from tests.publications import DAYS, Published

FIRST, SECOND, *_ = DAYS
ITEM = "item-003"
NO_SSL = "server does not support SSL, but SSL was required"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def started() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def server(started: Postgres) -> Postgres:
    """The server, running before and after each test, with an empty database for it."""
    if (started.folder / "postmaster.pid").exists():
        started.stop()
    started.start()
    import psycopg

    where = {"host": "127.0.0.1", "port": started.port, "user": "feast", "password": PASSWORD}
    with psycopg.connect(dbname="postgres", autocommit=True, **where) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return started


def with_stores(project: Published, file: Path, **stores: dict[str, Any]) -> Published:
    """Return the project with other stores in its Feast settings; its configuration is a file."""
    settings = yaml.safe_load((project.config.feature_repo / "feature_store.yaml").read_text())
    file.write_text(yaml.safe_dump({**settings, **stores}))
    content = {
        "feature_repo": str(project.config.feature_repo),
        "home": str(project.config.home),
        "feature_store": str(file),
        "publication": {"batch_rows": 25, "keep_versions": 5},
    }
    (file.parent / "longtail.yaml").write_text(yaml.safe_dump(content))
    return Published(load_config(file.parent / "longtail.yaml"), project.versions)


def stored_in(server: Postgres, project: Published, folder: Path, **online: object) -> Published:
    return with_stores(
        project,
        folder / "feature_store.yaml",
        registry=server.registry,
        online_store={**server.online_store, **online},
    )


def failure(act: Callable[[], object]) -> StoreError:
    with pytest.raises(StoreError) as caught:
        act()
    assert PASSWORD not in str(caught.value)
    assert str(caught.value).count("\n") == 0
    return caught.value


@pytest.mark.parametrize("connections", ["singleton", "pool"])
def test_a_client_survives_restarts(
    server: Postgres, project: Published, tmp_path: Path, connections: str
) -> None:
    stored = stored_in(server, project, tmp_path, conn_type=connections)
    FeatureRepository(stored.config).apply()
    assert publish_query_features(stored.config, FIRST)["published"]
    assert publish(stored.config, FIRST)["published"]
    client, queries = EmbeddingClient(stored.config), OnlineQueries(stored.config)
    schema = FeatureRepository(stored.config).schema().query
    expected = stored.vectors(FIRST)[ITEM]

    def look() -> None:
        found = client.lookup([ITEM])["embeddings"][ITEM]
        np.testing.assert_array_equal(np.array(found, np.float32), expected)
        assert queries.read(["item-000"], schema)[schema[0].name].to_pylist() == ["item-000"]

    look()
    for _ in range(3):  # each finds connections that were lost while idle
        server.stop()
        server.start()
        look()
    if connections == "singleton":  # a pool waits for half a minute
        server.stop()
        for _ in range(2):
            error = failure(lambda: client.lookup([ITEM]))
            assert error.store == "online store"
            assert f"postgres at 127.0.0.1:{server.port}/postgres: OperationalError" in error.what
            assert failure(lambda: queries.read(["item-000"], schema)).store == "online store"
        server.start()
        look()
    # The registry's connections were lost, too.
    client._online.refresh()
    look()


def test_a_publication_whose_store_stops_midway(
    server: Postgres, project: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = stored_in(server, project, tmp_path)
    FeatureRepository(stored.config).apply()
    publish(stored.config, FIRST)
    for step, failed in (
        (slots.Step.EMPTY_SLOT, "registry"),  # which is asked for the slot's view
        (slots.Step.WRITE, "online store"),
        (slots.Step.READ_BACK, "online store"),
    ):

        def enter(entered: slots.Step, step: slots.Step = step) -> None:
            if entered is step:
                server.stop()

        with monkeypatch.context() as patch:
            patch.setattr(slots, "enter", enter)
            error = failure(lambda: publish(stored.config, SECOND))
        assert error.store == failed
        assert status(stored.config)["version"] == stored.versions[FIRST]
        server.start()
        client = EmbeddingClient(stored.config)
        assert client.lookup([ITEM])["version"] == stored.versions[FIRST]
    assert publish(stored.config, SECOND)["published"]
    assert client.lookup([ITEM])["version"] == stored.versions[SECOND]


def test_tables_that_the_store_lost_are_made_again(
    server: Postgres, project: Published, tmp_path: Path
) -> None:
    stored = with_stores(project, tmp_path / "feature_store.yaml", online_store=server.online_store)
    FeatureRepository(stored.config).apply()
    publish(stored.config, FIRST)
    import psycopg

    where = {"host": "127.0.0.1", "port": server.port, "user": "feast", "password": PASSWORD}
    with psycopg.connect(dbname="postgres", autocommit=True, **where) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    client = EmbeddingClient(stored.config)
    error = failure(lambda: client.lookup([ITEM]))
    assert 'relation "longtail_item_embeddings_b" does not exist' in error.what
    assert publish(stored.config, FIRST)["published"]
    assert client.lookup([ITEM])["embeddings"][ITEM] == stored.vectors(FIRST)[ITEM].tolist()


@pytest.mark.parametrize(
    ("setting", "said", "cure"),
    [
        ({"password": "no-such-word"}, "password authentication failed", "user and password"),
        ({"sslmode": "require"}, NO_SSL, "set `sslmode: disable` under `online_store`"),
        ({"sslmode": None}, NO_SSL, "set `sslmode: disable` under `online_store`"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist', "`online_store`"),
    ],
)
def test_an_online_store_that_refuses(
    server: Postgres,
    project: Published,
    tmp_path: Path,
    setting: dict[str, str | None],
    said: str,
    cure: str,
) -> None:
    wanted = {**server.online_store, **setting}
    online = {name: value for name, value in wanted.items() if value is not None}
    stored = with_stores(project, tmp_path / "feature_store.yaml", online_store=online)
    check_says(stored, "online store", said, cure)
    for publisher in (publish, publish_query_features):
        error = failure(lambda publisher=publisher: publisher(stored.config, FIRST))
        assert error.store == "online store"
        assert said in error.what
        assert cure in error.cure
        assert "no-such-word" not in str(error)


def check_says(stored: Published, store: str, said: str, cure: str) -> None:
    """Check that `check` reports one problem: this one."""
    (problem,) = check_project(stored.config, FIRST).problems
    assert problem.check == "online_store"
    assert problem.finding.what.startswith(f"the {store} failed (postgres")
    assert said in problem.finding.what
    assert cure in problem.finding.cure
    assert PASSWORD not in problem.finding.message


@pytest.mark.parametrize(
    ("old", "new", "said", "cure"),
    [
        ("feast:", "feast:x", "password authentication failed", "user and password"),
        ("=disable", "=require", NO_SSL, "end `registry.path` in feature_store.yaml with"),
    ],
)
def test_a_registry_that_refuses(
    server: Postgres,
    project: Published,
    tmp_path: Path,
    old: str,
    new: str,
    said: str,
    cure: str,
) -> None:
    path = server.registry["path"].replace(old, new)
    stored = with_stores(
        project, tmp_path / "feature_store.yaml", registry={**server.registry, "path": path}
    )
    check_says(stored, "registry", said, cure)
    error = failure(lambda: publish(stored.config, FIRST))
    assert error.store == "registry"
    assert said in error.what


def test_every_command_says_that_the_server_is_down(
    server: Postgres,
    project: Published,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    stored = stored_in(server, project, tmp_path)
    FeatureRepository(stored.config).apply()
    publish_query_features(stored.config, FIRST)
    publish(stored.config, FIRST)
    server.stop()
    file = stored.config.feature_store
    assert file is not None

    def said(command: str) -> tuple[object, str]:
        arguments = ["longtail", *command.split(), f"--config={file.parent / 'longtail.yaml'}"]
        monkeypatch.setattr(sys, "argv", arguments)
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        streams = capfd.readouterr()
        text = " ".join((streams.out + streams.err).split())
        assert "Traceback" not in text
        assert PASSWORD not in text
        return caught.value.code or 0, text

    code, text = said("check --as-of 2024-01-10")
    assert code == 2
    assert f"the registry failed (postgresql+psycopg at 127.0.0.1:{server.port}" in text
    for command in ("lookup item-003", "recommend item-003", "rollback 20240210-00000001"):
        code, text = said(command)
        assert code == 1
        assert f"at 127.0.0.1:{server.port}/postgres: OperationalError" in text
        assert "check that it runs" in text
    code, text = said("publish --as-of 2024-01-10")
    assert code == 2
    assert "the registry failed" in text
    # `run` starts a process of its own.
    done = subprocess.run(
        [sys.executable, "-m", "longtail.cli", "run", f"--config={file.parent / 'longtail.yaml'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the registry failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stderr + done.stdout
    server.start()
    assert said("lookup item-003")[0] == 0


def test_the_password_is_in_no_exception_that_a_log_would_show(
    server: Postgres, project: Published, tmp_path: Path
) -> None:
    """A log shows an error with those that caused it."""
    stored = stored_in(server, project, tmp_path)
    server.stop()
    error: BaseException | None = failure(lambda: publish(stored.config, FIRST))
    while error is not None:
        assert PASSWORD not in str(error)
        assert json.dumps(PASSWORD) not in repr(error)
        error = error.__cause__ or error.__context__
    with pytest.raises(LongtailError):
        publish(stored.config, FIRST)
