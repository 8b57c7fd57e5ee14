"""Arbitrary tables: valid ones pass every stage unchanged, broken ones end in one error."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from longtail.artifacts import RunPaths
from longtail.config import Config
from longtail.errors import InputError
from tests.features.feast.histories import (
    AS_OF,
    DAY,
    Row,
    built,
    check_histories,
    feature_rows,
    interaction_rows,
    new_project,
    values,
)
from tests.integration.conftest import child_environment
from tests.projects import write_project

TEXT = st.one_of(
    st.sampled_from(
        ["", " ", "\0", "a\0b", "👩‍🚀", "é", "e\u0301", "NULL", "nan", "x" * 5_000, "a,b;c|d"]
    ),
    st.text(max_size=12),
)
WHOLE = st.one_of(st.sampled_from([-(2**63), 2**63 - 1, 0, -1, 2**53 + 1]), st.integers(-9, 9))
VALUES = st.fixed_dictionaries(
    {
        "colour": st.none() | TEXT,
        "size": st.none() | WHOLE,
        "tags": st.none() | st.lists(st.none() | TEXT, max_size=30),
    }
)
KEYS = st.one_of(
    st.sampled_from(["a\0", "a", "A", " a", "🐙", "1", "01", "k" * 300]), st.text(max_size=6)
)
MOMENTS = st.integers(-60, 30).map(lambda hours: DAY + timedelta(hours=hours))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Row], list[Row], list[tuple[str, str, Any]]]:
    """Draw histories of queries and items, and interactions, some of them with unknown keys."""
    sides = []
    for _ in range(2):
        keys = draw(st.lists(KEYS, min_size=1, max_size=6, unique=True))
        row = st.tuples(st.sampled_from(keys), MOMENTS, VALUES)
        rows = draw(st.lists(row, max_size=30, unique_by=lambda row: (row[0], row[1])))
        first = (keys[0], DAY - timedelta(days=9), values("first"))
        sides.append([first, *rows])
    names = [st.sampled_from(sorted({row[0] for row in rows})) | KEYS for rows in sides]
    pairs = draw(st.lists(st.tuples(*names, MOMENTS), max_size=40))
    return sides[0], sides[1], [(sides[0][0][0], sides[1][0][0], DAY), *pairs]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return new_project(tmp_path_factory.mktemp("fuzz"))


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables())
def test_any_valid_tables_come_through_every_stage(
    project: Config, drawn: tuple[list[Row], list[Row], list[tuple[str, str, Any]]]
) -> None:
    check_histories(project, *drawn)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables())
def test_many_valid_tables_come_through_every_stage(
    project: Config, drawn: tuple[list[Row], list[Row], list[tuple[str, str, Any]]]
) -> None:
    check_histories(project, *drawn)


WHOLE_TABLES = {
    "items": feature_rows("item_id", [(f"i{n}", DAY, values(f"v{n}", n, "t")) for n in range(5)]),
    "queries": feature_rows("query_id", [(f"q{n}", DAY, values(f"v{n}", n)) for n in range(5)]),
    "interactions": interaction_rows([(f"q{n}", f"i{n}", DAY) for n in range(5)]),
}
COLUMNS = [(name, column) for name, table in WHOLE_TABLES.items() for column in table.column_names]
OTHER_VALUES: dict[str, pa.Array] = {
    "floats": pa.array([0.5, float("nan"), float("inf"), None, -0.0]),
    "booleans": pa.array([True, False, None, True, False]),
    "bytes": pa.array([b"\xff", b"", None, b"a", b"b"]),
    "whole numbers": pa.array([1, 2, 3, None, 2**62]),
    "texts": pa.array(["a", "", None, "\0", "👩‍🚀"]),
    "lists": pa.array([["a"], [], None, [None], ["b", "b"]]),
    "lists of lists": pa.array([[["a"]], [], None, [[]], [None]]),
    "structs": pa.array([{"a": 1}, None, {"a": 2}, {"a": 3}, {"a": 4}]),
    "dates": pa.array([DAY.date()] * 5),
    "naive moments": pa.array([DAY.replace(tzinfo=None)] * 5),
    "nulls": pa.nulls(5),
    "categories": pa.array(["a", "b", "a", None, "b"]).dictionary_encode(),
    "decimals": pa.array([1, 2, 3, 4, None]).cast(pa.decimal128(20, 1)),
}


def replaced(table: pa.Table, column: str, kind: str) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, OTHER_VALUES[kind])


def renamed(table: pa.Table, column: str, name: str) -> pa.Table:
    return table.rename_columns([name if each == column else each for each in table.column_names])


def check_broken(project: Config, name: str, write: Callable[[Path], None], told: str) -> None:
    """Check that a broken table is used as it is, or refused by one error naming the problem."""
    data = project.feature_repo / "data"
    for table, rows in WHOLE_TABLES.items():
        pq.write_table(rows, data / f"{table}.parquet")
    write(data / f"{name}.parquet")
    catalogue = RunPaths(project, AS_OF).catalogue
    before = catalogue.stat().st_mtime_ns if catalogue.exists() else None
    error = refusal(project)
    if error is None:
        return
    assert error.exit_code == 2
    assert f"{name}.parquet" in str(error)
    assert told in str(error)
    assert (catalogue.stat().st_mtime_ns if catalogue.exists() else None) == before


def refusal(project: Config) -> InputError | None:
    """Return the error that the stages refuse the tables with; other exceptions fail the test."""
    try:
        built(project)
    except InputError as error:
        return error
    return None


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(COLUMNS), st.sampled_from(sorted(OTHER_VALUES)))
@example(("queries", "tags"), "nulls")
def test_a_column_of_any_type_is_taken_or_named(
    project: Config, place: tuple[str, str], kind: str
) -> None:
    name, column = place
    changed = replaced(WHOLE_TABLES[name], column, kind)
    check_broken(project, name, lambda file: pq.write_table(changed, file), f"`{column}`")


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(COLUMNS), st.text(max_size=5))
def test_a_column_of_another_name_is_named(
    project: Config, place: tuple[str, str], other: str
) -> None:
    name, column = place
    changed = renamed(WHOLE_TABLES[name], column, column + other)
    check_broken(project, name, lambda file: pq.write_table(changed, file), f"`{column}`")


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(WHOLE_TABLES)), st.floats(0.0, 0.999), st.binary(max_size=40))
def test_a_file_that_is_no_table_is_named(
    project: Config, name: str, share: float, tail: bytes
) -> None:
    def write(file: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))] + tail)

    check_broken(project, name, write, f"{name}.parquet")


@pytest.mark.slow
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables())
def test_a_few_go_through_the_whole_run(
    drawn: tuple[list[Row], list[Row], list[tuple[str, str, Any]]],
) -> None:
    """The run publishes, or says in one line that examples are missing to train or to evaluate."""
    queries, items, pairs = drawn
    with tempfile.TemporaryDirectory() as temporary:
        config = write_project(
            Path(temporary),
            feature_rows("item_id", items),
            feature_rows("query_id", queries),
            interaction_rows(pairs),
            {
                "features": {"default_dim": 4},
                "model": {"hidden": [8], "output_dim": 4},
                "training": {"num_epochs": 1, "batch_size": 8},
                "gate": {"better_than_popularity": False},
            },
        )
        command = [sys.executable, "-m", "longtail.cli", "run", f"--config={config}", "--json"]
        command.append(f"--as-of={AS_OF}")
        ended = subprocess.run(
            command, env=child_environment(), capture_output=True, text=True, check=False
        )
        assert "Traceback" not in ended.stderr
        if ended.returncode in (0, 3):
            document = json.loads(ended.stdout)
            assert document["published"] == (ended.returncode == 0)
        else:
            assert (ended.returncode, ended.stdout) == (2, "")


def test_what_is_no_break_at_all_is_taken(project: Config) -> None:
    """The check above can fail: the unbroken tables pass it without an error."""
    for table, rows in WHOLE_TABLES.items():
        pq.write_table(rows, project.feature_repo / "data" / f"{table}.parquet")
    assert len(built(project)) == 5
