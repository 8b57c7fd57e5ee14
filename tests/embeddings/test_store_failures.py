"""The failure of any store, at every place where Feast is called, is one error."""

import socket
import sqlite3
import ssl
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from feast import FileSource
from feast.errors import RedshiftQueryError, S3RegistryBucketNotExist
from feast.infra.offline_stores import duckdb
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.infra.registry import sql
from feast.infra.registry.sql import SqlRegistry

from longtail.checks.preflight import check_machine, check_project, check_tables
from longtail.embeddings.publish import publish, publish_query_features, rollback
from longtail.errors import InputError, LongtailError
from longtail.features.feast.catalogue import build_catalogue
from longtail.features.feast.embedding_slots import OnlineStore
from longtail.features.feast.online_query_features import OnlineQueries
from longtail.features.feast.repository import FeatureRepository
from longtail.features.feast.store_errors import StoreError
from longtail.features.feast.write_online_slot import OnlineSlot
from longtail.serving.client import EmbeddingClient
from tests.embeddings import stores
from tests.publications import DAYS, Published, moved

FIRST, SECOND, *_ = DAYS
ITEM = "item-003"
OTHER = {
    "type": f"{stores.__name__}.{stores.OtherSqliteOnlineStore.__name__}",
    "path": "other.db",
    "password": "s3cr3t",
}


def driver_error(module: str, *bases: type[Exception]) -> Exception:
    """Return an exception of a package that need not be installed."""
    kind = type("DriverError", bases or (Exception,), {"__module__": module})
    error: Exception = kind("no answer from db, password s3cr3t\nSELECT secrets")
    return error


FAILURES = [
    *(ConnectionRefusedError("no answer"), TimeoutError("no answer"), socket.gaierror("no answer")),
    *(ssl.SSLError("no answer"), EOFError("no answer"), sqlite3.OperationalError("no answer")),
    *(RedshiftQueryError("no answer"), S3RegistryBucketNotExist("no answer")),
    *map(
        driver_error,
        [
            *("psycopg", "psycopg.errors", "psycopg_pool", "psycopg2", "asyncpg.exceptions"),
            *(
                "pymysql.err",
                "MySQLdb",
                "sqlalchemy.exc",
                "redis.exceptions",
                "botocore.exceptions",
            ),
            *("google.api_core.exceptions", "google.auth.exceptions", "azure.core.exceptions"),
            *("cassandra.cluster", "pymongo.errors", "pymilvus.exceptions", "qdrant_client.http"),
            *("grpc", "httpx", "urllib3.exceptions", "elastic_transport", "hazelcast.errors"),
            *("snowflake.connector.errors", "couchbase.exceptions", "aerospike.exception"),
            *("thriftpy2.transport", "_duckdb", "ibis.common.exceptions", "py4j.protocol"),
            *("http.client", "feast.infra.registry.sql", "our_company.store"),
        ],
    ),
]
MISTAKES = [
    *(TypeError("a mistake"), KeyError("a mistake"), AssertionError("a mistake")),
    *(ValueError("a mistake"), AttributeError("a mistake"), RuntimeError("a mistake")),
    *(driver_error("pyarrow.lib", ValueError), driver_error("pandas.errors")),
    driver_error("psycopg", TypeError),
]


def names(errors: list[Exception]) -> list[str]:
    return [f"{type(error).__module__}.{type(error).__name__}" for error in errors]


def breaking(error: Exception) -> Callable[..., Any]:
    def fail(*args: object, **kwargs: object) -> None:
        raise type(error)(*error.args)  # a new one: each keeps the places that it came through

    return fail


@pytest.fixture
def applied(project: Published) -> Published:
    FeatureRepository(project.config).apply()
    return project


def with_online_store(project: Published, folder: Path, settings: dict[str, Any]) -> Published:
    text = (project.config.feature_repo / "feature_store.yaml").read_text("utf-8")
    settings = {**settings, "path": str(folder / "other.db")}
    file = folder / "feature_store.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(text), "online_store": settings}))
    return Published(project.config.model_copy(update={"feature_store": file}), project.versions)


@pytest.fixture(scope="module")
def slot(prepared: Published, tmp_path_factory: pytest.TempPathFactory) -> OnlineSlot:
    """A slot in a store that longtail does not know."""
    folder = tmp_path_factory.mktemp("other")
    stored = with_online_store(moved(prepared, folder), folder, OTHER)
    FeatureRepository(stored.config).apply()
    return OnlineStore(stored.config).slot("a")


@pytest.mark.parametrize("error", FAILURES, ids=names(FAILURES))
def test_a_failure_of_any_driver_is_one_error(
    slot: OnlineSlot, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(stores.OtherSqliteOnlineStore, "online_read", breaking(error))
    with pytest.raises(StoreError, match="the online store failed") as caught:
        slot.read([ITEM])
    assert caught.value.exit_code == 1
    assert caught.value.store == "online store"
    assert "no answer" in caught.value.what
    assert type(error).__name__ in caught.value.what
    assert "`online_store` in feature_store.yaml" in caught.value.cure
    for hidden in ("s3cr3t", "SELECT", "\n"):
        assert hidden not in str(caught.value)
    assert type(caught.value.__cause__) is type(error)


@pytest.mark.parametrize("error", MISTAKES, ids=names(MISTAKES))
def test_a_programming_error_keeps_its_traceback(
    slot: OnlineSlot, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(stores.OtherSqliteOnlineStore, "online_read", breaking(error))
    with pytest.raises(type(error), match=r"mistake|no answer") as caught:
        slot.read([ITEM])
    assert type(caught.value) is type(error)


PSYCOPG = driver_error("psycopg")
REGISTRY: dict[str, Callable[[Published], object]] = {
    "apply": lambda p: FeatureRepository(p.config).apply(),
    "schema": lambda p: FeatureRepository(p.config).schema(),
    "source": lambda p: FeatureRepository(p.config).source("interactions"),
    "catalogue": lambda p: build_catalogue(p.config, FIRST),
    "publish": lambda p: publish(p.config, SECOND),
    "query features": lambda p: publish_query_features(p.config, SECOND),
    "rollback": lambda p: rollback(p.config, p.versions[SECOND]),
    "lookup": lambda p: EmbeddingClient(p.config).lookup([ITEM]),
    "tables": lambda p: check_tables(p.config, FIRST),
}


@pytest.mark.parametrize("call", REGISTRY)
def test_a_registry_that_cannot_be_read_is_named_wherever_it_is_asked(
    project: Published, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    publish(project.config, FIRST)
    monkeypatch.setattr(sql, "create_engine", breaking(PSYCOPG))
    with pytest.raises(LongtailError, match="the registry failed") as caught:
        REGISTRY[call](project)
    assert not isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("_list_feature_views", "publish"),
        ("_get_feature_service", "publish"),
        ("_apply_object", "publish"),
        ("proto", "lookup"),
    ],
)
def test_a_registry_that_stops_midway_is_named(
    project: Published, monkeypatch: pytest.MonkeyPatch, method: str, call: str
) -> None:
    publish(project.config, FIRST)
    with monkeypatch.context() as patch:
        patch.setattr(SqlRegistry, method, breaking(PSYCOPG))
        with pytest.raises(StoreError, match="the registry failed"):
            REGISTRY[call](project)
    # A publication that had been committed by then is finished by the next command.
    served = EmbeddingClient(project.config).lookup([ITEM])["version"]
    committed = method == "_apply_object"
    assert served == project.versions[SECOND if committed else FIRST]


OFFLINE: dict[str, Callable[[FeatureRepository], object]] = {
    "a table": lambda r: r.within_limit("items"),
    "a join": lambda r: r.point_in_time("item", TWO_ITEMS),
}
TWO_ITEMS = pa.table(
    {
        "item_id": ["item-001", ITEM],
        "event_timestamp": pa.array([datetime(2024, 1, 10, tzinfo=UTC)] * 2),
    }
)


@pytest.mark.parametrize("read", OFFLINE)
def test_an_offline_store_that_fails_is_named(
    applied: Published, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    monkeypatch.setattr(duckdb, "_read_data_source", breaking(PSYCOPG))
    with pytest.raises(StoreError, match=r"the offline store failed \(duckdb: Driver") as caught:
        OFFLINE[read](FeatureRepository(applied.config))
    assert caught.value.store == "offline store"


def test_files_in_a_bucket_that_cannot_be_reached_are_told(
    applied: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail = staticmethod(breaking(OSError("AWS Error NETWORK_CONNECTION\nwhile reading")))
    monkeypatch.setattr(FileSource, "create_filesystem_and_path", fail)
    report = check_project(applied.config, FIRST)
    assert {check for check, _ in problems(report)} == {"table_schema"}
    assert len(problems(report)) == 3
    for table, (_, what) in zip(
        ("items", "queries", "interactions"), problems(report), strict=True
    ):
        assert f"{table}.parquet cannot be read (OSError, AWS Error NETWORK_CONNECTION)" in what


ONLINE: dict[str, Callable[[Published], object]] = {
    "update": lambda p: FeatureRepository(p.config).apply(),
    "online_read": lambda p: publish(p.config, SECOND),
    "online_write_batch": lambda p: publish(p.config, SECOND),
}


@pytest.mark.parametrize("method", ONLINE)
def test_an_online_store_of_a_projects_own_is_named(
    applied: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """`apply` reaches the registry and the online store: the one that failed is named."""
    stored = with_online_store(applied, tmp_path, OTHER)
    publish(stored.config, FIRST)
    monkeypatch.setattr(SqliteOnlineStore, method, breaking(PSYCOPG))
    where = rf"the online store failed \({OTHER['type']} at {tmp_path / 'other.db'}: DriverError"
    with pytest.raises(StoreError, match=where):
        ONLINE[method](stored)
    with pytest.raises(StoreError, match=where):
        publish_query_features(stored.config, SECOND)


def problems(report: Any) -> list[tuple[str, str]]:
    return [(p.check, p.finding.what) for p in report.problems if p.severity == "error"]


def test_check_reports_a_registry_that_fails_as_one_finding(
    project: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "create_engine", breaking(PSYCOPG))
    ((check, what),) = problems(check_project(project.config, FIRST))
    assert check == "online_store"
    assert what.startswith("the registry failed (sqlite at ")


def test_check_reports_an_offline_store_that_fails_as_one_finding(
    project: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb, "_read_data_source", breaking(PSYCOPG))
    ((check, what),) = problems(check_project(project.config, FIRST))
    assert check == "online_store"
    assert what.startswith("the offline store failed (duckdb: DriverError: no answer from db")
    with pytest.raises(LongtailError, match="the offline store failed") as caught:
        check_tables(project.config, FIRST)
    assert not isinstance(caught.value, InputError)  # so that Dagster may try again


@pytest.mark.parametrize("method", ["update", "online_read"])
def test_check_reports_an_online_store_that_fails_and_goes_on(
    applied: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    stored = with_online_store(applied, tmp_path, OTHER)
    monkeypatch.setattr(SqliteOnlineStore, method, breaking(PSYCOPG))
    report = check_project(stored.config, FIRST)
    ((check, what),) = problems(report)
    assert check == "online_store"
    assert what.startswith(f"the online store failed ({OTHER['type']} at ")
    # The tables were read all the same.
    assert set(report.document()["refused"]) == {"items", "queries", "interactions"}
    assert problems(check_machine(stored.config, FIRST)) == [(check, what)]
    assert check_tables(stored.config, FIRST).problems == ()


def test_a_damaged_file_of_the_embedded_stores_is_told(project: Published) -> None:
    publish(project.config, FIRST)
    folder = project.config.home / "feast"
    for name, store in (("online_store.db", "online store"), ("registry.db", "registry")):
        content = {file: file.read_bytes() for file in folder.glob(f"{name}*")}
        for file in content:
            file.unlink()
        (folder / name).write_bytes(b"no database" * 1_000)
        with pytest.raises(StoreError, match="file is not a database") as caught:
            EmbeddingClient(project.config).lookup([ITEM])
        assert caught.value.store == store
        assert caught.value.what.startswith(f"the {store} failed (sqlite at {folder / name}: Data")
        assert "check that its files are whole" in caught.value.cure
        for file, whole in content.items():
            file.write_bytes(whole)
    assert EmbeddingClient(project.config).lookup([ITEM])["missing"] == []


def test_a_locked_file_of_the_registry_is_told(
    project: Published, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish(project.config, FIRST)
    text = (project.config.feature_repo / "feature_store.yaml").read_text("utf-8")
    file = tmp_path / "feature_store.yaml"
    file.write_text(text.replace("timeout: 30", "timeout: 0.1"))
    config = project.config.model_copy(update={"feature_store": file})
    registry = project.config.home / "feast" / "registry.db"
    with closing(sqlite3.connect(registry, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"the registry failed .*database is locked"):
            publish(config, SECOND)
        writer.execute("ROLLBACK")
    assert publish(config, SECOND)["published"]


class Restarted:
    """A store with one connection, as Feast's Postgres store has: once lost, it stays lost."""

    generation = 0
    running = True

    def __init__(self) -> None:
        self.reads = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kind = stores.OtherSqliteOnlineStore
        real_init, real_read = kind.__init__, kind.online_read

        def init(store: Any) -> None:
            real_init(store)
            store.connected_to = None

        def read(store: Any, *args: Any, **kwargs: Any) -> Any:
            self.reads += 1
            if store.connected_to is None and self.running:
                store.connected_to = self.generation
            if not self.running or store.connected_to != self.generation:
                raise driver_error("psycopg")
            return real_read(store, *args, **kwargs)

        monkeypatch.setattr(kind, "__init__", init)
        monkeypatch.setattr(kind, "online_read", read)


def test_a_client_connects_again_after_a_restart(
    applied: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = with_online_store(applied, tmp_path, OTHER)
    server = Restarted()
    server.install(monkeypatch)
    publish_query_features(stored.config, FIRST)
    publish(stored.config, FIRST)
    client, queries = EmbeddingClient(stored.config), OnlineQueries(stored.config)
    schema = FeatureRepository(stored.config).schema().query

    def look() -> int:
        server.reads = 0
        found = client.lookup([ITEM])["embeddings"][ITEM]
        np.testing.assert_array_equal(np.array(found, np.float32), stored.vectors(FIRST)[ITEM])
        count = server.reads
        assert queries.read(["item-000"], schema).num_rows == 1
        return count

    assert look() == 1
    server.generation += 1
    assert look() == 2  # the connection was lost while idle: one further try
    assert look() == 1
    # While the server is down each call is one error, and tries no more than twice.
    server.running = False
    for reads in (2, 1):
        server.reads = 0
        with pytest.raises(StoreError, match="the online store failed"):
            client.lookup([ITEM])
        assert server.reads == reads
        with pytest.raises(StoreError, match="the online store failed"):
            queries.read(["item-000"], schema)
    server.running, server.generation = True, server.generation + 1
    assert look() == 1


def test_a_store_that_never_worked_is_not_tried_again(
    applied: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = with_online_store(applied, tmp_path, OTHER)
    server = Restarted()
    server.install(monkeypatch)
    publish(stored.config, FIRST)
    server.running, server.reads = False, 0
    with pytest.raises(StoreError, match="the online store failed"):
        EmbeddingClient(stored.config).lookup([ITEM])
    assert server.reads == 1


def test_the_embedded_store_is_not_opened_again(
    project: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its one connection is shared by all threads, and goes on after an error."""
    publish(project.config, FIRST)
    client = EmbeddingClient(project.config)
    client.lookup([ITEM])
    opened = client._online._connection._current()
    with monkeypatch.context() as patch:
        failing = breaking(sqlite3.OperationalError("disk I/O error"))
        patch.setattr(SqliteOnlineStore, "online_read", failing)
        with pytest.raises(StoreError, match="disk I/O error"):
            client.lookup([ITEM])
    assert client.lookup([ITEM])["missing"] == []
    assert client._online._connection._current() is opened
