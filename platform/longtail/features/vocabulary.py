"""Vocabularies: which row of an embedding table a value owns."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import (
    STAMP,
    RunPaths,
    fingerprint,
    is_current,
    read_json,
    replaced_folder,
    required_stamp,
    source_hash,
    write_json,
)
from longtail.config import Config
from longtail.features.dense import measure_scale
from longtail.features.hashing import stable_hash
from longtail.features.schema import Feature, Schema

log = logging.getLogger("longtail.features")

SCHEMA_FILE = "schema.json"


@dataclass(frozen=True)
class Vocabulary:
    """The values of one embedding table.

    Attributes:
        table: the table's name.
        values: `[num_values]` string or int64, distinct, most frequent first (ties by value).
        counts: `[num_values]` int64, in how many rows each stands.
        buckets: table rows of a hashed vocabulary, whose values are not listed; else None.
    """

    table: str
    values: pa.Array
    counts: pa.Array
    buckets: int | None = None

    @property
    def num_rows(self) -> int:
        """Rows of the embedding table, at least one."""
        return self.buckets if self.buckets is not None else max(1, len(self.values))

    def encode(self, values: pa.Array) -> npt.NDArray[np.int32]:
        """The table row of each value.

        Args:
            values: `[n]` of the vocabulary's type; nulls allowed.

        Returns:
            `[n]` int32; -1 for a null and for a value outside the vocabulary.
        """
        if self.buckets is None:
            rows = pc.index_in(values, value_set=self.values)
        else:
            coded = pc.dictionary_encode(values)
            buckets = (stable_hash(coded.dictionary) % np.uint64(self.buckets)).astype(np.int32)
            rows = pc.take(pa.array(buckets), coded.indices)
        return np.asarray(pc.fill_null(rows, -1).to_numpy(zero_copy_only=False), dtype=np.int32)


def flat_values(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """All values of a single- or multi-valued column in row order, without its null rows."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return array.flatten()
    return array


def count_values(
    columns: Sequence[pa.ChunkedArray], *, table: str, value_type: pa.DataType, min_count: int
) -> Vocabulary:
    """Count values over columns and keep those that stand at least `min_count` times."""
    counted = pa.chunked_array(
        [pc.cast(flat_values(column), value_type) for column in columns], type=value_type
    ).value_counts()
    values, counts = counted.field("values"), counted.field("counts")
    keep = pc.and_(pc.is_valid(values), pc.greater_equal(counts, min_count))
    kept = pa.table({"value": values.filter(keep), "count": counts.filter(keep)}).sort_by(
        [("count", "descending"), ("value", "ascending")]
    )
    return Vocabulary(table, kept["value"].combine_chunks(), kept["count"].combine_chunks())


def build_vocabularies(config: Config, as_of: date) -> dict[str, Any]:
    """Build one vocabulary a table from all query and item rows up to `as_of`.

    The schema that is written beside them has the scales of dense features.

    Returns:
        `{"num_rows": {table: rows}, "fingerprint"}`, as in the folder's stamp.
    """
    paths = RunPaths(config, as_of)
    catalogue = required_stamp(paths.catalogue, made_by="dataset")
    identity = fingerprint(
        catalogue["fingerprint"], config.features.min_count, source_hash("features")
    )
    if is_current(paths.vocabularies, identity):
        log.info("vocabularies of %s are up to date", as_of)
        return dict(required_stamp(paths.vocabularies, made_by="dataset"))
    schema = Schema.from_json(read_json(paths.catalogue / SCHEMA_FILE))
    num_rows: dict[str, int] = {}
    with replaced_folder(paths.vocabularies) as folder:
        for table, features in schema.tables.items():
            if features[0].vocabulary == "hash":
                num_rows[table] = features[0].buckets or config.features.hash_buckets
                continue
            vocabulary = count_values(
                [_history(paths, feature) for feature in features],
                table=table,
                value_type=pa.string() if features[0].dtype == "string" else pa.int64(),
                min_count=config.features.min_count,
            )
            num_rows[table] = vocabulary.num_rows
            pq.write_table(
                pa.table({"value": vocabulary.values, "count": vocabulary.counts}),
                folder / f"{table}.parquet",
            )
        write_json(folder / SCHEMA_FILE, _with_scales(schema, paths).to_json())
        stamp = {"fingerprint": identity, "num_rows": num_rows}
        write_json(folder / STAMP, stamp)
    log.info("vocabularies: %d tables, %d rows", len(num_rows), sum(num_rows.values()))
    return stamp


def _with_scales(schema: Schema, paths: RunPaths) -> Schema:
    scales = {}
    for table, features in schema.projections.items():
        # An item's value counts once, however many queries share the feature.
        counted = next((f for f in features if f.side == "item"), features[0])
        file = paths.catalogue / ("items.parquet" if counted.side == "item" else "queries.parquet")
        scales[table] = measure_scale(
            features,
            [_history(paths, feature) for feature in features],
            pq.read_table(file, columns=[counted.name])[counted.name],
        )
    return schema.scaled(scales)


def _history(paths: RunPaths, feature: Feature) -> pa.ChunkedArray:
    file = paths.catalogue / f"{feature.side}_history.parquet"
    return pq.read_table(file, columns=[feature.name])[feature.name]


def load_vocabularies(folder: Path) -> dict[str, Vocabulary]:
    """Read what `build_vocabularies` wrote, by table name."""
    schema = Schema.from_json(read_json(folder / SCHEMA_FILE))
    num_rows = required_stamp(folder, made_by="dataset")["num_rows"]
    vocabularies = {}
    for table, features in schema.tables.items():
        if features[0].vocabulary == "hash":
            empty = pa.array([], pa.string())
            vocabularies[table] = Vocabulary(
                table, empty, pa.array([], pa.int64()), buckets=num_rows[table]
            )
        else:
            content = pq.read_table(folder / f"{table}.parquet")
            vocabularies[table] = Vocabulary(
                table, content["value"].combine_chunks(), content["count"].combine_chunks()
            )
    return vocabularies
