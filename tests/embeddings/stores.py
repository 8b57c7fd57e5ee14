"""The online stores that publication is tested on; to add one, add an entry to `STORES`.

Each is the real store. A server listens on a free loopback port and works in a temporary folder.
Redis is skipped if `redis-server` is missing, unless LONGTAIL_REQUIRE_REDIS is set, as CI does.
Postgres is skipped if its programs or psycopg are missing, unless LONGTAIL_REQUIRE_POSTGRES is set.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pytest
import redis
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig

Settings = dict[str, Any]


class OtherSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    type: Literal["tests.embeddings.stores.OtherSqliteOnlineStore"] = (
        "tests.embeddings.stores.OtherSqliteOnlineStore"
    )
    password: str | None = None


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


@contextmanager
def postgres_store(folder: Path) -> Iterator[Settings]:
    with postgres_server() as server:
        yield server.online_store


STORES: dict[str, Callable[[Path], AbstractContextManager[Settings]]] = {
    "sqlite": sqlite_store,
    "redis": redis_store,
    "redis_cluster": redis_cluster_store,
    "postgres": postgres_store,
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


PASSWORD = "p@ss:w/rd-7Q"  # with the signs that a URL takes for its own


@dataclass(frozen=True)
class Postgres:
    """A Postgres without SSL on a loopback port, which can be stopped and started again."""

    folder: Path
    port: int
    programs: Path

    @property
    def online_store(self) -> Settings:
        return {
            "type": "postgres",
            "host": "127.0.0.1",
            "port": self.port,
            "user": "feast",
            "database": "postgres",
            "password": PASSWORD,
            "sslmode": "disable",
        }

    @property
    def registry(self) -> Settings:
        address = f"feast:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/postgres"
        path = f"postgresql+psycopg://{address}?sslmode=disable"
        return {"registry_type": "sql", "path": path, "cache_ttl_seconds": 1}

    def start(self) -> None:
        options = f"-p {self.port} -k '' -h 127.0.0.1 -F"
        log = f"--log={self.folder / 'log'}"
        self.run("pg_ctl", "--pgdata", str(self.folder), "-w", log, "-o", options, "start")

    def stop(self) -> None:
        self.run("pg_ctl", "--pgdata", str(self.folder), "-w", "-m", "immediate", "stop")

    def run(self, program: str, *arguments: str) -> None:
        # Postgres refuses to run as root.
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_user, str(self.programs / program), *arguments],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Start an empty Postgres in a folder of its own, and remove it at the end."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # Debian's
    missing = [] if places else ["initdb"]
    missing += [name for name in ("psycopg", "psycopg_pool") if find_spec(name) is None]
    if missing and "LONGTAIL_REQUIRE_POSTGRES" not in os.environ:
        pytest.skip(f"needs {', '.join(missing)}")
    assert not missing, missing
    # Not in pytest's folder, which only its owner may enter.
    with tempfile.TemporaryDirectory(prefix="longtail-postgres-") as parent:
        folder = Path(parent) / "data"
        folder.mkdir(mode=0o700)
        password = Path(parent) / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (Path(parent), folder, password):
                shutil.chown(path, "postgres")
        server = Postgres(folder, _free_port(), places[0])
        access = ["--username=feast", f"--pwfile={password}", "--auth=scram-sha-256", "--no-sync"]
        server.run("initdb", f"--pgdata={folder}", "--encoding=UTF8", "--locale=C", *access)
        server.start()
        try:
            yield server
        finally:
            if (folder / "postmaster.pid").exists():
                server.stop()


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
