from collections.abc import Callable, Iterator

import ibis
import pyarrow as pa
import pytest


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Callable[..., ibis.Table]]:
    """A function that makes a table of columns, on a connection that is closed at the end."""
    connection = ibis.duckdb.connect()

    def make(**columns: pa.Array) -> ibis.Table:
        connection.con.register("catalogue", pa.table(columns))
        return connection.table("catalogue")

    yield make
    connection.disconnect()
