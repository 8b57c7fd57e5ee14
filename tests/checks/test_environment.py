"""The checks of the machine, with real ports, real files and a real Redis."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from longtail.checks import environment
from longtail.checks.inspected_project import Inspection
from longtail.checks.registry import run_checks
from tests.checks.inspections import NUM_ITEMS, NUM_QUERIES, inspect_tables


def found(inspection: Inspection) -> list[tuple[str, str, str]]:
    """Return check, severity and message of each finding."""
    return [
        (check.name, severity, finding.message)
        for check, severity, finding in run_checks(inspection)
    ]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis(port: int) -> Inspection:
    settings = SimpleNamespace(type="redis", connection_string=f"127.0.0.1:{port},db=0")
    return replace(inspect_tables(), online_store=settings)


def test_a_redis_that_is_not_there_is_named(free_port: int) -> None:
    ((check, severity, message),) = found(redis(free_port))
    assert (check, severity) == ("online_store", "error")
    assert message == (
        f"the online store, Redis at 127.0.0.1:{free_port}, does not answer: [Errno 111] "
        "Connection refused: start it, or correct `online_store` in feature_store.yaml"
    )


def test_something_else_on_its_port_is_told(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(16)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert environment.redis_error("127.0.0.1", free_port) == "it does not speak Redis"
        thread.join()


@pytest.fixture
def server(free_port: int, tmp_path: Path) -> Iterator[int]:
    """A Redis on the loopback interface, if the program is installed."""
    program = shutil.which("redis-server")
    assert program is not None
    command = [program, "--port", str(free_port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(
        [*command, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 20
        while environment.redis_error("127.0.0.1", free_port) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield free_port
    finally:
        process.terminate()
        process.wait()


if shutil.which("redis-server"):

    def test_a_redis_that_answers_is_no_finding(server: int) -> None:
        assert found(redis(server)) == []


def with_java(folder: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point JAVA_HOME to a program that claims to be this version of Java."""
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-01' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(folder))


def test_java_is_asked_for_by_spark_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert list(environment.java.find(inspect_tables())) == []
    spark = inspect_tables(config={"correlation": {"engine": "spark"}})
    (finding,) = environment.java.find(spark)
    assert finding.what.endswith("needs Java 17 or later, and there is none")
    assert "set `correlation.engine: duckdb`" in finding.cure


@pytest.mark.parametrize(("version", "major"), [("1.8.0_402", 8), ("11.0.2", 11), ("21.0.1", 21)])
def test_java_must_be_new_enough(
    version: str, major: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_java(tmp_path, version, monkeypatch)
    assert environment.java_version() == major
    spark = inspect_tables(config={"correlation": {"engine": "spark"}})
    said = [finding.what.split(", and ")[1] for finding in environment.java.find(spark)]
    assert said == ([f"there is Java {major}"] if major < 17 else [])


def test_a_gpu_is_missed_where_the_sharding_needs_one() -> None:
    import torch

    sharding = {"tables": {"item_item_id": {"sharding_types": ["row_wise"]}}}
    inspection = inspect_tables(config={"sharding": sharding})
    findings = list(environment.gpu.find(inspection))
    if torch.cuda.is_available():
        assert findings == []
    else:
        assert [(finding.column, finding.examples) for finding in findings] == [
            ("sharding.tables.item_item_id.sharding_types", ("row_wise",))
        ]
    either = {"default": {"sharding_types": ["row_wise", "table_wise"]}}
    assert list(environment.gpu.find(inspect_tables(config={"sharding": either}))) == []


def test_tables_are_as_large_as_their_values_and_optimizer_state() -> None:
    row_of_8 = 8 * 4 + 4  # weights, and a sum
    expected = {
        "query_query_id": NUM_QUERIES * row_of_8,
        "query_country": 5 * row_of_8,
        "query_tags": 3 * row_of_8,
        "item_item_id": NUM_ITEMS * row_of_8,
        "item_section": 8 * row_of_8,
        "item_words": 11 * row_of_8,
        "item_size": 20 * row_of_8,
    }
    assert environment.table_bytes(inspect_tables()) == expected
    adagrad = inspect_tables(config={"sharding": {"optimizer": "adagrad"}})
    assert environment.table_bytes(adagrad)["item_section"] == 8 * (8 * 4 * 2)


def test_room_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "available_memory", lambda: 1000)
    usage = SimpleNamespace(free=2000)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: usage)
    inspection = inspect_tables(home=tmp_path / "not" / "yet")
    messages = {check: message for check, _, message in found(inspection)}
    assert set(messages) == {"disk_space", "memory"}
    assert messages["disk_space"].startswith(f"{tmp_path} has 0.00 GiB free, and a run writes at")
    assert "checkpoints.asynchronous" in messages["memory"]


def test_a_package_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "MODULES", ("torch", "no_such_module"))
    monkeypatch.setattr(environment, "_requirements", lambda: ["numpy<1", "x; extra == 'dev'"])
    findings = list(environment.packages.find(inspect_tables()))
    assert [finding.message.split(" is ")[0] for finding in findings] == [
        "package `no_such_module`",
        "package `numpy`",
    ]
    assert "but longtail needs <1" in findings[1].what
