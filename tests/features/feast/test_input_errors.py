"""Bad tables: one clear error each, and nothing written."""

from collections.abc import Callable
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from longtail.artifacts import RunPaths
from longtail.config import Config, FeaturesConfig
from longtail.errors import InputError
from longtail.features.feast.catalogue import build_catalogue
from tests.features.conftest import interaction_rows, item_rows, make_project, query_rows
from tests.projects import write_tables

TABLES: dict[str, Callable[[], pa.Table]] = {
    "items": item_rows,
    "queries": query_rows,
    "interactions": interaction_rows,
}
AS_OF = date(2024, 1, 9)


def replaced(rows: pa.Table, column: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index(column), column, values)


def cast(column: str, to: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: replaced(rows, column, rows[column].cast(to))


def drop(column: str) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: rows.drop_columns(column)


def null_in_row(column: str, row: int) -> Callable[[pa.Table], pa.Table]:
    def change(rows: pa.Table) -> pa.Table:
        mask = pa.array([number == row for number in range(rows.num_rows)])
        return replaced(rows, column, pc.if_else(mask, None, rows[column]))

    return change


def floats(column: str) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: replaced(rows, column, pa.array([0.5] * rows.num_rows))


def wrap(column: str) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: replaced(rows, column, pa.array([[v] for v in rows[column].to_pylist()]))


def first_twice(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows, rows.slice(0, 1)])


def nothing(rows: pa.Table) -> pa.Table:
    return rows.slice(0, 0)


def weights(*values: float) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: replaced(rows, "weight", pa.array(values))


CASES = [
    ("items", drop("item_id"), r"items\.parquet has no column `item_id`: add it"),
    ("items", drop("section"), r"items\.parquet has no column `section`: add it"),
    ("items", drop("active"), r"items\.parquet has no column `active`: add it"),
    ("queries", drop("event_timestamp"), r"queries\.parquet has no column `event_timestamp`"),
    ("interactions", drop("item_id"), r"interactions\.parquet has no column `item_id`"),
    ("items", first_twice, r"has 1 duplicated rows: `item_id` = 'a' .*2024-01-01T00:00:00"),
    ("queries", first_twice, r"has 1 duplicated rows: `query_id` = 'q' .*keep one row"),
    ("items", floats("section"), r"`section` of .*items\.parquet is double where a string"),
    ("items", floats("item_id"), r"`item_id` of .*items\.parquet is double where a string"),
    ("items", wrap("section"), r"`section` of .* is list<element: string> where a string"),
    ("items", cast("size", pa.float64()), r"`size` of .* is double where an integer is declared"),
    ("items", cast("active", pa.string()), r"`active` of .* is string where a boolean"),
    ("queries", cast("query_id", pa.binary()), r"`query_id` of .* is binary where a string"),
    ("items", null_in_row("item_id", 3), r"`item_id` of .* is null in 1 of 6 rows, first in row 3"),
    ("queries", null_in_row("event_timestamp", 2), r"`event_timestamp` of .* first in row 2"),
    ("interactions", null_in_row("query_id", 1), r"`query_id` of .* is null in 1 of 5 rows"),
    ("interactions", null_in_row("item_id", 4), r"`item_id` of .*first in row 4 \(counted from 0"),
    (
        "items",
        cast("event_timestamp", pa.timestamp("us")),
        r"`event_timestamp` of .*items\.parquet has timestamps without a zone: write them",
    ),
    ("interactions", cast("event_timestamp", pa.timestamp("ns")), r"timestamps without a zone"),
    ("queries", cast("event_timestamp", pa.date32()), r"is date32\[day\] where a timestamp"),
    ("interactions", nothing, r"interactions\.parquet is empty: it must have at least one row"),
    ("items", nothing, r"items\.parquet is empty"),
    ("queries", nothing, r"queries\.parquet is empty"),
    (
        "interactions",
        weights(1, 1, -2, 1, 1),
        r"`weight` of .* 1 of 5 rows, such as -2\.0 in row 2",
    ),
    ("interactions", weights(1, 1, 1, float("nan"), 1), r"`weight` of .* such as nan in row 3"),
    ("interactions", wrap("weight"), r"`weight` of .* where a number is declared"),
]


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_project(tmp_path_factory.mktemp("input_errors"))


@pytest.mark.parametrize(("table", "spoil", "message"), CASES)
def test_a_bad_table_is_one_error_and_nothing_is_written(
    shared_project: Config, table: str, spoil: Callable[[pa.Table], pa.Table], message: str
) -> None:
    folder = shared_project.feature_repo.parent
    write_tables(folder, **{name: rows() for name, rows in TABLES.items()})
    write_tables(folder, **{table: spoil(TABLES[table]())})
    with pytest.raises(InputError, match=message) as raised:
        build_catalogue(shared_project, AS_OF)
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)
    # The quarantine may be there, but nothing of the run itself.
    folders = RunPaths(shared_project, AS_OF)
    assert [file for file in folders.folder.glob("*") if file != folders.quarantine] == []


def test_a_missing_table_and_a_file_that_is_no_table_are_named(shared_project: Config) -> None:
    folder = shared_project.feature_repo.parent
    write_tables(folder, **{name: rows() for name, rows in TABLES.items()})
    for name in TABLES:
        file = folder / "feature_repo" / "data" / f"{name}.parquet"
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(
            InputError, match=rf"{name}\.parquet does not exist: put the table there"
        ):
            build_catalogue(shared_project, AS_OF)
        file.write_bytes(b"item_id,section\n")
        with pytest.raises(InputError, match=rf"{name}\.parquet is not a Parquet file"):
            build_catalogue(shared_project, AS_OF)
        file.write_bytes(content)
    assert not RunPaths(shared_project, AS_OF).catalogue.exists()


def test_several_problems_of_a_table_are_named_at_once(shared_project: Config) -> None:
    folder = shared_project.feature_repo.parent
    write_tables(folder, **{name: rows() for name, rows in TABLES.items()})
    write_tables(folder, items=floats("section")(item_rows().drop_columns("tags")))
    with pytest.raises(InputError, match=r"is double .*; .* has no column `tags`"):
        build_catalogue(shared_project, AS_OF)


def test_a_missing_repository_and_source_are_named(project: Config) -> None:
    nowhere = project.model_copy(update={"feature_repo": project.feature_repo / "nowhere"})
    with pytest.raises(
        InputError, match=r"feature_store\.yaml does not exist: `feature_repo` must"
    ):
        build_catalogue(nowhere, AS_OF)
    other = FeaturesConfig(interactions="clicks")
    with pytest.raises(InputError, match="data source `clicks` is not defined"):
        build_catalogue(project.model_copy(update={"features": other}), AS_OF)
    (project.feature_repo / "feature_store.yaml").write_text("project: x\nregistryy: y\n")
    with pytest.raises(InputError, match=r"feature_store\.yaml is not a valid Feast configuration"):
        build_catalogue(project, AS_OF)
