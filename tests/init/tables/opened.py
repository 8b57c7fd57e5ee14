"""Opens one table alone, and reads its values as the later steps of `init` do."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.init.tables.column_readings import Reading, read_columns
from longtail.init.tables.raw_tables import RawTable, open_raw_table
from longtail.init.tables.sql import quoted


class Opened:
    """A table with the readings and the values of its columns."""

    def __init__(self, path: Path, comment: str | None = None) -> None:
        scratch = path.parent / "scratch"
        scratch.mkdir(exist_ok=True)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            self.raw: RawTable = open_raw_table("items", path, scratch, connection, comment)
            self.readings: dict[str, Reading] = {
                reading.name: reading for reading in read_columns(connection, self.raw)
            }
            readable = [r for r in self.readings.values() if r.form != "unreadable"]
            columns = ", ".join(f"{r.expression} AS {quoted(r.name)}" for r in readable)
            rows = connection.execute(f"SELECT {columns or 0} FROM {self.raw.relation}").fetchall()
            self.values: dict[str, list[Any]] = {
                reading.name: [row[n] for row in rows] for n, reading in enumerate(readable)
            }

    @property
    def notes(self) -> str:
        """All notes in one text."""
        return "\n".join(self.raw.notes)


def open_csv(
    folder: Path, content: str | bytes, name: str = "items.csv", comment: str | None = None
) -> Opened:
    """Write a CSV file, and open it."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Opened(path, comment)


def open_parquet(folder: Path, table: pa.Table) -> Opened:
    """Write a Parquet file, and open it."""
    path = folder / "items.parquet"
    pq.write_table(table, path)
    return Opened(path)


def open_column(folder: Path, column: pa.Array) -> Opened:
    """Write a Parquet file with the column `column` beside ids, and open it."""
    ids = pa.array([f"i{n}" for n in range(len(column))])
    return open_parquet(folder, pa.table({"id": ids, "column": column}))
