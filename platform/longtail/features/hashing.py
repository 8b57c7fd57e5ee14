"""A hash of values that is the same on every machine, in every process and in every release."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def stable_hash(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Hash values to 64 bits: the first eight bytes, big-endian, of the MD5 of their text.

    Args:
        values: `[n]` strings or integers, without nulls.

    Returns:
        `[n]` uint64, evenly distributed.
    """
    # A GPU machine trains without DuckDB, and imports this module by way of the training set.
    import duckdb

    table = pa.table({"position": np.arange(len(values)), "value": pc.cast(values, pa.string())})
    with duckdb.connect() as connection:
        connection.register("input", table)
        hashed = connection.execute(
            "SELECT ('0x' || substr(md5(value), 1, 16))::UBIGINT AS hash "
            "FROM input ORDER BY position"
        ).fetchnumpy()
    return np.asarray(hashed["hash"], dtype=np.uint64)


def unit_interval(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Map 64-bit hashes to `[0, 1)`, keeping their order."""
    return (hashes >> np.uint64(11)).astype(np.float64) / float(1 << 53)
