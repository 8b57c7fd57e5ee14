"""The `longtail` command: its exit codes and its streams."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from longtail.cli import app, main
from longtail.cli.output import output
from tests.blocks import structured_choices, write_blocks
from tests.integration.conftest import child_environment
from tests.projects import write_tables

COMMANDS = {
    *("bench", "check", "init"),
    *("run", "mine", "dataset", "train", "evaluate", "export", "publish", "study", "tune", "plan"),
    *("status", "versions", "report", "rollback", "approve"),
    *("lookup", "neighbours", "recommend", "serve"),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the configuration file of a project in which nothing was run."""
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    return write_blocks(tmp_path)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Call the entry point in this process, and return the exit code."""
    monkeypatch.setattr(sys, "argv", ["longtail", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_the_commands_are_those_of_the_design() -> None:
    names = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert names == COMMANDS


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--as-of", "last tuesday"),
        ("train", "--num-ranks", "0"),
        ("mine", "--measure", "vibes"),
        ("neighbours", "item-001", "-k", "0"),
        ("lookup",),
        ("status", "--no-such-option"),
        ("no-such-command",),
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, *arguments) == 2
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("command", ["run", "train", "status", "versions"])
def test_a_wrong_configuration_key_is_one_line_and_nothing_is_written(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    file = write_blocks(tmp_path, trainning={"num_epochs": 3})
    assert call(monkeypatch, command, "--config", file) == 2
    streams = capfd.readouterr()
    assert streams.out == ""
    assert streams.err.splitlines() == [
        f"Error: configuration {file}: `trainning` does not exist: remove it, or correct its "
        "spelling"
    ]
    assert not (tmp_path / ".longtail").exists()


def test_before_the_first_publication(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "status", "--json", "--config", project) == 0
    assert capfd.readouterr().out == '{"version": null}\n'
    assert call(monkeypatch, "versions", "--json", "--config", project) == 0
    assert json.loads(capfd.readouterr().out) == {"versions": []}
    assert call(monkeypatch, "neighbours", "item-001", "--config", project) == 1
    streams = capfd.readouterr()
    assert streams.out == ""
    assert "run `longtail run` first" in streams.err


def test_run_refuses_bad_data_before_it_writes_anything(project: Path) -> None:
    rows = structured_choices()
    first = pa.array([number < 160 for number in range(rows.num_rows)])
    items = pc.if_else(first, None, rows["item_id"])
    write_tables(project.parent, interactions=rows.set_column(1, "item_id", items))
    done = subprocess.run(
        [sys.executable, "-m", "longtail.cli", "run", "--json", f"--config={project}"],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    progress, error = done.stderr.splitlines()
    assert progress == "Checking configuration and data"
    assert error.startswith("Error: ")
    assert "interactions.parquet is null in 160 of 1600 rows" in error
    # Importing the definitions makes the folder of the embedded stores, so only files count.
    written = [file for file in (project.parent / ".longtail").rglob("*") if file.is_file()]
    assert [file.name for file in written] == ["interactions.parquet"]
    assert pq.read_table(written[0])["refused_row"].to_pylist() == list(range(160))


def test_only_the_result_goes_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    with output(as_json=True) as out:
        print("a library prints")
        os.write(1, b"so does native code\n")
        subprocess.run(["echo", "and a child"], check=True)
        logging.getLogger("longtail.dataset").info("12 examples")
        out.result({"num_items": 3})
    print("after")
    streams = capfd.readouterr()
    assert streams.out == '{"num_items": 3}\nafter\n'
    for line in ("a library prints", "so does native code", "and a child", "12 examples"):
        assert line in streams.err


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_know_is_not_printed(value: Any) -> None:
    with output(as_json=True) as out, pytest.raises(ValueError, match="JSON compliant"):
        out.result({"loss": value})


def test_the_command_imports_nothing_heavy() -> None:
    program = (
        "import sys, longtail.cli\n"
        "print({'torch', 'torchrec', 'feast', 'pandas', 'dagster', 'faiss'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"
