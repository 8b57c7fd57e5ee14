"""The matrix of exported embeddings is a view of Arrow's memory; other readers read the same."""

from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.embeddings.embedding_matrix import embedding_matrix
from longtail.errors import InputError, LongtailError

NUM_ITEMS, DIM = 1_000, 12
VECTORS = np.random.default_rng(0).standard_normal((NUM_ITEMS, DIM)).astype(np.float32)


def make_table(vectors: npt.NDArray[np.float32] = VECTORS) -> pa.Table:
    flat = pa.array(vectors.ravel())
    return pa.table(
        {
            "item_id": [f"item-{number:04}" for number in range(len(vectors))],
            "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            "model_version": ["20240101-00000000"] * len(vectors),
        }
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of several row groups, as the export of a large catalogue has."""
    pq.write_table(make_table(), tmp_path / "item_embeddings.parquet", row_group_size=300)
    return tmp_path / "item_embeddings.parquet"


def address(matrix: npt.NDArray[np.float32]) -> int:
    return int(matrix.__array_interface__["data"][0])


def test_a_matrix_is_the_table_s_own_memory() -> None:
    table = make_table()
    buffer = table["embedding"].chunk(0).values.buffers()[1]
    matrix = embedding_matrix(table)
    assert address(matrix) == buffer.address
    assert not matrix.flags.writeable
    np.testing.assert_array_equal(matrix, VECTORS)
    part = embedding_matrix(table.slice(40, 7))
    assert address(part) == buffer.address + 40 * DIM * 4
    np.testing.assert_array_equal(part, VECTORS[40:47])
    batch = table.to_batches()[0]
    assert address(embedding_matrix(batch)) == buffer.address
    del table, batch, buffer
    np.testing.assert_array_equal(matrix, VECTORS)  # it keeps the memory alive


def test_what_is_read_of_a_file_is_not_copied_again(file: Path) -> None:
    """Row groups do not split the column if the file is read as one table."""
    before = pa.total_allocated_bytes()
    matrix = embedding_matrix(file)
    assert pa.total_allocated_bytes() - before >= matrix.nbytes  # Arrow holds it, not NumPy
    assert not matrix.flags.owndata
    np.testing.assert_array_equal(matrix, VECTORS)
    with pq.ParquetFile(file) as parquet:
        assert parquet.num_row_groups == 4
        table = parquet.read()
    assert (
        address(embedding_matrix(table)) == table["embedding"].chunk(0).values.buffers()[1].address
    )


def test_several_chunks_are_put_together(file: Path) -> None:
    table = pa.concat_tables([make_table().slice(0, 400), make_table().slice(400)])
    assert table["embedding"].num_chunks == 2
    np.testing.assert_array_equal(embedding_matrix(table), VECTORS)
    assert embedding_matrix(table.slice(0, 0)).shape == (0, DIM)


def test_duckdb_and_pyarrow_read_the_same(file: Path) -> None:
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT item_id, list_sum(list_transform(embedding, lambda x: x * x)) AS squared "
            "FROM read_parquet(?) ORDER BY item_id",
            [str(file)],
        ).fetchnumpy()
        nearest = connection.execute(
            "SELECT item_id FROM read_parquet(?) "
            f"ORDER BY array_inner_product(embedding::FLOAT[{DIM}], ?::FLOAT[{DIM}]) DESC LIMIT 3",
            [str(file), VECTORS[17].tolist()],
        ).fetchall()
    assert rows["item_id"][3] == "item-0003"
    np.testing.assert_allclose(rows["squared"], (VECTORS**2).sum(axis=1), rtol=1e-5)
    best = np.argsort(-(VECTORS @ VECTORS[17]))[:3]
    assert [item for (item,) in nearest] == [f"item-{number:04}" for number in best]
    table = pq.read_table(file)
    assert table["embedding"].type == pa.list_(pa.float32(), DIM)
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist(), np.float32), VECTORS)


def test_polars_reads_the_same_and_shares_its_memory_with_numpy(file: Path) -> None:
    frame = polars.read_parquet(file).rechunk()
    assert frame.schema["embedding"] == polars.Array(polars.Float32, DIM)
    assert frame["item_id"].to_list() == make_table()["item_id"].to_pylist()
    matrix = frame["embedding"].to_numpy(allow_copy=False)  # raises where it would have to copy
    np.testing.assert_array_equal(matrix, VECTORS)
    # Our own matrix, made through Arrow, is a view of the same memory.
    assert address(embedding_matrix(frame.to_arrow())) == address(matrix)


def test_what_is_no_matrix(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run `longtail export` first"):
        embedding_matrix(tmp_path / "no.parquet")
    with pytest.raises(InputError, match="the table has no column `embedding`"):
        embedding_matrix(make_table().select(["item_id"]))
    lists = pa.table({"embedding": [[1.0, 2.0]]})
    with pytest.raises(InputError, match="expected fixed_size_list<float32>"):
        embedding_matrix(lists)
    for missing in ([[1.0, 2.0], None], [[1.0, None], [1.0, 2.0]]):
        table = pa.table({"embedding": pa.array(missing, pa.list_(pa.float32(), 2))})
        with pytest.raises(LongtailError, match="without a v"):
            embedding_matrix(table)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(LongtailError, match="cannot be read"):
        embedding_matrix(file)
