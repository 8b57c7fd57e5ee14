"""The online stores that publication is tested on; to add one, add an entry to `STORES`.

Each is the real store. A server listens on a free loopback port and works in a temporary folder.
Redis is skipped if `redis-server` is missing, unless LONGTAIL_REQUIRE_REDIS is set, as CI does.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import pytest
import redis
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig

Settings = dict[str, Any]


class OtherSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    type: Literal["tests.embeddings.stores.OtherSqliteOnlineStore"] = (
        "tests.embeddings.stores.OtherSqliteOnlineStore"
    )


class OtherSqliteOnlineStore(OnlineStore):
    """A store that longtail does not know: it has Feast's interface and nothing else."""

    def __init__(self) -> None:
        self._inner = SqliteOnlineStore()

    def online_write_batch(self, config: Any, table: Any, data: Any, progress: Any) -> None:
        self._inner.online_write_batch(config, table, data, progress)

    def online_read(
        self, config: Any, table: Any, entity_keys: Any, requested_features: Any = None
    ) -> Any:
        return self._inner.online_read(config, table, entity_keys, requested_features)

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._inner.update(*args, **kwargs)

    def teardown(self, config: Any, tables: Any, entities: Any) -> None:
        self._inner.teardown(config, tables, entities)


@contextmanager
def sqlite_store(folder: Path) -> Iterator[Settings]:
    yield {"type": "sqlite", "path": str(folder / "online_store.db")}


@contextmanager
def other_store(folder: Path) -> Iterator[Settings]:
    type_name = f"{OtherSqliteOnlineStore.__module__}.{OtherSqliteOnlineStore.__name__}"
    yield {"type": type_name, "path": str(folder / "other.db")}


@contextmanager
def redis_store(folder: Path) -> Iterator[Settings]:
    with redis_server(folder) as address:
        yield {"type": "redis", "connection_string": address}


@contextmanager
def redis_cluster_store(folder: Path) -> Iterator[Settings]:
    """Yield a cluster of one node with all hash slots: client and commands are a cluster's."""
    with redis_server(folder, "--cluster-enabled", "yes") as address:
        host, port = address.split(":")
        with redis.Redis(host, int(port)) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            deadline = time.monotonic() + 60
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield {"type": "redis", "redis_type": "redis_cluster", "connection_string": address}


STORES: dict[str, Callable[[Path], AbstractContextManager[Settings]]] = {
    "sqlite": sqlite_store,
    "redis": redis_store,
    "redis_cluster": redis_cluster_store,
    "other": other_store,
}


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[str]:
    """Start a Redis server without persistence, and yield its `host:port`."""
    if shutil.which("redis-server") is None and "LONGTAIL_REQUIRE_REDIS" not in os.environ:
        pytest.skip("needs redis-server")
    port = _free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--appendonly", "no", "--dir", str(folder), *options]
    log = (folder / "redis.log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        with redis.Redis("127.0.0.1", port) as client:
            _wait_for(client, server, folder / "redis.log")
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
        log.close()


def _free_port() -> int:
    """Return a free port below 55,536, since a cluster also uses the port 10,000 above it."""
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        if port > 55_535:
            port -= 20_000
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def _wait_for(client: redis.Redis, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            client.ping()
            return
        except redis.ConnectionError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
