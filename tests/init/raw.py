"""Small tables to make projects from, and readers of the projects that are made."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from longtail.init.project import init_project
from longtail.init.project_plan import Request

NUM_ITEMS, NUM_QUERIES = 60, 40


def items(num: int = NUM_ITEMS, **columns: Any) -> pa.Table:
    """Return items `i0` to `i59`, with the columns beside `item_id`."""
    return pa.table({"item_id": [f"i{number}" for number in range(num)], **columns})


def queries(num: int = NUM_QUERIES, **columns: Any) -> pa.Table:
    """Return queries `q0` to `q39`, with the columns beside `query_id`."""
    return pa.table({"query_id": [f"q{number}" for number in range(num)], **columns})


def interactions(**columns: Any) -> pa.Table:
    """Return interactions, with the columns beside the ids: query n chooses items n to n + 4."""
    pairs = [(query, query + step) for query in range(NUM_QUERIES) for step in range(5)]
    return pa.table(
        {
            "query_id": [f"q{query}" for query, _ in pairs],
            "item_id": [f"i{item}" for _, item in pairs],
            **columns,
        }
    )


def make(
    folder: Path,
    item_rows: pa.Table | None = None,
    query_rows: pa.Table | None = None,
    interaction_rows: pa.Table | None = None,
    **wanted: Any,
) -> dict[str, Any]:
    """Write the tables as Parquet into `folder`, and make the project `folder/project` of them."""
    given = {
        "items": items() if item_rows is None else item_rows,
        "interactions": interactions() if interaction_rows is None else interaction_rows,
    }
    if query_rows is not None:
        given["queries"] = query_rows
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in given.items():
        pq.write_table(rows, folder / f"{name}.parquet")
    paths = {name: folder / f"{name}.parquet" for name in given}
    return init_project(folder / "project", Request(**paths, **wanted))


def written(folder: Path, name: str) -> pa.Table:
    """Read one of the three tables of the project in `folder/project`."""
    return pq.read_table(folder / "project" / "feature_repo" / "data" / f"{name}.parquet")


def feature(document: dict[str, Any], column: str, side: str = "items") -> dict[str, Any]:
    """Return the summary's entry for a column."""
    found: dict[str, Any] = next(
        each for each in document[side]["features"] if each["column"] == column
    )
    return found


def files_below(folder: Path) -> list[str]:
    """Return all files below a folder except the given tables."""
    given = {"items.parquet", "queries.parquet", "interactions.parquet"}
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not path.is_dir() and path.relative_to(folder).as_posix() not in given
    )
