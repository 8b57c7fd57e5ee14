"""`longtail check` on real projects: all problems at once, as one document and for people."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from longtail.cli import main
from tests.blocks import CHOSEN_AT, structured_choices, write_blocks
from tests.projects import write_tables

KEYS = {"check", "severity", "source", "column", "num_rows", "examples", "what", "cure"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the configuration file of a project in which nothing was run."""
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    return write_blocks(tmp_path)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Call the entry point in this process, and return the exit code."""
    monkeypatch.setattr(sys, "argv", ["longtail", "check", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def checked(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, dict[str, Any]]:
    """Run the check, and return its exit code and its document."""
    code = call(monkeypatch, "--json", *arguments)
    return code, json.loads(capfd.readouterr().out)


def table(project: Path, name: str) -> pa.Table:
    return pq.read_table(project.parent / "feature_repo" / "data" / f"{name}.parquet")


def without(rows: pa.Table, column: str, count: int) -> pa.Table:
    """Return the table with null in the first `count` rows of a column."""
    first = pa.array([number < count for number in range(rows.num_rows)])
    values = pc.if_else(first, None, rows[column])
    return rows.set_column(rows.column_names.index(column), column, values)


def test_clean_tables_have_no_problem_and_nothing_is_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, document = checked(monkeypatch, capfd, "--config", project)
    assert (code, document["as_of"], document["problems"]) == (0, "2024-01-05", [])
    assert {name: facts["num_refused"] for name, facts in document["refused"].items()} == {
        "items": 0,
        "queries": 0,
        "interactions": 0,
    }
    assert [file for file in (project.parent / ".longtail").rglob("*") if file.is_file()] == []


def test_all_problems_are_told_at_once_and_refused_rows_are_kept(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # A problem of every kind: a wrong key, a wrong type, repeated, unknown and future rows.
    items, queries = table(project, "items"), table(project, "queries")
    queries = queries.set_column(1, "section", pa.array([1.5] * queries.num_rows))
    strangers = pa.table(
        {
            "query_id": ["query-000"] * 2,
            "item_id": ["ghost"] * 2,
            "event_timestamp": pa.array(
                [CHOSEN_AT, datetime(2999, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")
            ),
        }
    )
    write_tables(
        project.parent,
        items=pa.concat_tables([items, items.slice(0, 60)]),
        queries=queries,
        interactions=pa.concat_tables([structured_choices(), strangers]),
    )
    settings = yaml.safe_load(project.read_text())
    settings["checks"] = {"severity": {"dangling_keys": "error", "no_such_check": "warning"}}
    project.write_text(yaml.safe_dump(settings))
    code, document = checked(monkeypatch, capfd, "--config", project)
    assert code == 2
    assert all(set(problem) == KEYS for problem in document["problems"])
    found = [(p["check"], p["severity"], p["column"]) for p in document["problems"]]
    assert found == [
        ("configuration", "error", "checks.severity.no_such_check"),
        ("table_schema", "error", "section"),
        ("refused_share", "error", None),
        ("dangling_keys", "error", "item_id"),
        ("duplicate_rows", "warning", "item_id"),
        ("future_timestamps", "warning", "event_timestamp"),
    ]
    assert "is double where a string is declared" in document["problems"][1]["what"]
    assert document["problems"][1]["source"].endswith("data/queries.parquet")
    assert "60 of 300 rows" in document["problems"][2]["what"]
    assert document["problems"][3]["examples"][0]["item_id"] == "ghost"
    assert set(document["refused"]) == {"items", "interactions"}
    refused = document["refused"]["items"]
    assert (refused["num_rows"], refused["num_refused"], refused["share"]) == (300, 60, 0.2)
    assert refused["reasons"] == {"duplicate": 60}
    quarantine = project.parent / ".longtail" / "runs" / "2024-01-05" / "quarantine"
    assert refused["file"] == str(quarantine / "items.parquet")
    kept = pq.read_table(refused["file"])
    assert kept["refused_row"].to_pylist() == list(range(240, 300))
    assert kept["item_id"].to_pylist() == items["item_id"].to_pylist()[:60]
    kept = pq.read_table(document["refused"]["interactions"]["file"])
    assert kept["refused_reason"].to_pylist() == ["future_timestamp"]


def test_files_of_one_table_that_disagree_are_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = table(project, "items")
    file = project.parent / "feature_repo" / "data" / "items.parquet"
    file.unlink()
    file.mkdir()
    numbers = pa.array(range(rows.num_rows), pa.int64())
    pq.write_table(rows.slice(0, 100), file / "part-0.parquet")
    pq.write_table(rows.slice(100, 140), file / "part-1.parquet")
    code, document = checked(monkeypatch, capfd, "--config", project)
    assert (code, document["problems"]) == (0, [])  # a folder of files that agree is one table
    assert document["refused"]["items"]["num_rows"] == 240
    spoilt = rows.set_column(1, "section", numbers).slice(100, 140)
    pq.write_table(spoilt, file / "part-1.parquet")
    code, document = checked(monkeypatch, capfd, "--config", project)
    (problem,) = document["problems"]
    assert (code, problem["check"], problem["column"]) == (2, "table_schema", "section")
    assert problem["source"].endswith("items.parquet/part-1.parquet")
    assert problem["what"].endswith(f"and string in 1 other files, such as {file}/part-0.parquet")


def test_a_wrong_configuration_and_wrong_definitions_are_problems_like_others(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = yaml.safe_load(project.read_text())
    project.write_text(yaml.safe_dump({**settings, "trainning": {}, "gate": {"min": 1}}))
    code, document = checked(monkeypatch, capfd, "--config", project)
    assert (code, document["as_of"], document["refused"]) == (2, None, {})
    assert [(p["check"], p["what"], p["source"]) for p in document["problems"]] == [
        ("configuration", "`gate.min` does not exist", str(project)),
        ("configuration", "`trainning` does not exist", str(project)),
    ]
    project.write_text(yaml.safe_dump(settings))
    definitions = project.parent / "feature_repo" / "queries.py"
    text = definitions.read_text().replace('{"table": "section"}', '{"table": "a b", "dim": "x"}')
    text = text.replace("{'table': 'section'}", "{'table': 'a b', 'dim': 'x'}")
    definitions.write_text(text)
    code, document = checked(monkeypatch, capfd, "--config", project)
    assert code == 2
    assert [problem["check"] for problem in document["problems"]] == ["feature_definitions"] * 2
    assert "its table is called 'a b'" in document["problems"][0]["cure"]
    assert document["problems"][0]["source"] == str(project.parent / "feature_repo")


def test_people_read_what_where_and_cure(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    write_tables(project.parent, interactions=without(structured_choices(), "item_id", 3))
    assert call(monkeypatch, "--config", project) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "warning null_keys"
    assert "interactions.parquet is null in 3 of 1600 rows, first in row 0" in lines[1]
    assert lines[2].startswith("  such as: row = 0, query_id = query-000, item_id = None")
    assert lines[3].strip() == "cure: fill it in, or drop these rows"
    assert "3 of 1600 rows of interactions are refused (3 null): " in lines[-2]
    assert lines[-1] == "As of 2024-01-05: 0 errors, 1 warning."


def test_a_table_without_rows_by_the_day_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, document = checked(monkeypatch, capfd, "--config", project, "--as-of", "2024-01-02")
    (problem,) = document["problems"]
    assert (code, problem["check"], problem["severity"]) == (2, "empty_tables", "error")
    assert problem["source"].endswith("interactions.parquet")
    assert problem["cure"] == "choose a later --as-of, or correct its timestamps"
