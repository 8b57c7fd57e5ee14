"""Vocabularies: they give every value its row of an embedding table."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import STAMP, RunPaths, read_json, replaced_folder, write_json
from longtail.config import Config
from longtail.features.dense import measure_scale
from longtail.features.hashing import stable_hash
from longtail.features.schema import Feature, Schema
from longtail.features.vocabulary_succession import (
    Previous,
    Turnover,
    previous_vocabularies,
    succeed,
)
from longtail.fingerprints import fingerprint, is_current, required_stamp, source_hash

log = logging.getLogger("longtail.features")

SCHEMA_FILE = "schema.json"


@dataclass(frozen=True)
class Vocabulary:
    """The values of one embedding table.

    Attributes:
        table: the table's name.
        values: `[num_rows]` string or int64, distinct; null where a row is free. A first
            vocabulary has the most frequent value first (ties by value); later every value keeps
            its row (see `vocabulary_succession`).
        counts: `[num_rows]` int64, the number of times that each value occurs in the data.
        buckets: table rows of a hashed vocabulary, which lists no values; else None.
    """

    table: str
    values: pa.Array
    counts: pa.Array
    buckets: int | None = None

    @property
    def num_rows(self) -> int:
        """Rows of the embedding table, at least one."""
        return self.buckets if self.buckets is not None else max(1, len(self.values))

    def in_order(self, order: pa.Array) -> "Vocabulary":
        """Return the same values in other rows.

        Args:
            order: `[num_rows]` the position of each row's value; a null makes a free row.
        """
        counts = pc.fill_null(self.counts.take(order), 0)
        return Vocabulary(self.table, self.values.take(order), counts)

    def encode(self, values: pa.Array) -> npt.NDArray[np.int32]:
        """Return the table row of each value.

        Args:
            values: `[n]` values of the vocabulary's type; nulls are allowed.

        Returns:
            `[n]` int32; -1 for a null and for a value outside the vocabulary.
        """
        if self.buckets is None:
            rows = pc.index_in(values, value_set=self.values, skip_nulls=True)
        else:
            coded = pc.dictionary_encode(values)
            buckets = (stable_hash(coded.dictionary) % np.uint64(self.buckets)).astype(np.int32)
            rows = pc.take(pa.array(buckets), coded.indices)
        return np.asarray(pc.fill_null(rows, -1).to_numpy(zero_copy_only=False), dtype=np.int32)


def flat_values(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return all values of a single- or multi-valued column in row order.

    A null list has no values; the nulls of a single-valued column stay.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return array.flatten()
    return array


def count_values(
    columns: Sequence[pa.ChunkedArray], *, table: str, value_type: pa.DataType, min_count: int
) -> Vocabulary:
    """Count the values of some columns, and keep those that occur at least `min_count` times."""
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
    """Build one vocabulary per table from all query and item rows up to `as_of`.

    Values keep the rows that they have in the vocabularies of an earlier day. The schema that is
    written beside the vocabularies has the scales of dense features.

    Returns:
        the folder's stamp: `{"num_rows": {table: rows}, "turnover": {table: see `Turnover`},
        "previous": {"as_of", "fingerprint"} of the vocabularies before, or None, "fingerprint"}`.

    Raises:
        InputError: a dense feature has no vector in any row, or vectors that share a projection
            differ in length.
    """
    paths = RunPaths(config, as_of)
    catalogue = required_stamp(paths.catalogue, made_by="dataset")
    previous = previous_vocabularies(config, as_of)
    origin = None if previous is None else previous.to_json()
    identity = fingerprint(
        catalogue["fingerprint"], source_hash("longtail.features.vocabulary"), origin
    )
    if is_current(paths.vocabularies, identity):
        log.info("vocabularies of %s are up to date", as_of)
        return dict(required_stamp(paths.vocabularies, made_by="dataset"))
    schema = Schema.from_json(read_json(paths.catalogue_files.schema))
    old: dict[str, Vocabulary] = {} if previous is None else load_vocabularies(previous.folder)
    num_rows: dict[str, int] = {}
    turnover: dict[str, Turnover] = {}
    with replaced_folder(paths.vocabularies) as folder:
        # Counting takes most of the time, and runs outside Python's lock: a thread per table.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            counting = {
                table: pool.submit(_counted, paths, table, features)
                for table, features in schema.tables.items()
                if features[0].vocabulary != "hash"
            }
        for table, features in schema.tables.items():
            if table not in counting:
                num_rows[table] = features[0].buckets or config.features.hash_buckets
                continue
            # Counted values come most frequent first; the rows of the day before take precedence.
            counted, before = counting[table].result(), old.get(table)
            order, turnover[table] = succeed(counted.values, before.values if before else None)
            vocabulary = counted.in_order(order)
            num_rows[table] = vocabulary.num_rows
            pq.write_table(
                pa.table({"value": vocabulary.values, "count": vocabulary.counts}),
                folder / f"{table}.parquet",
            )
        write_json(folder / SCHEMA_FILE, _with_scales(schema, paths).to_json())
        stamp = {
            "fingerprint": identity,
            "num_rows": num_rows,
            "turnover": {table: asdict(change) for table, change in turnover.items()},
            "previous": origin,
        }
        write_json(folder / STAMP, stamp)
    log.info("vocabularies: %d tables, %d rows", len(num_rows), sum(num_rows.values()))
    if previous is not None:
        _log_turnover(previous, turnover)
    return stamp


def _counted(paths: RunPaths, table: str, features: list[Feature]) -> Vocabulary:
    # Histories hold ids of items, which are counted where they are defined: in the items' rows.
    return count_values(
        [_history(paths, feature) for feature in features if not feature.is_history],
        table=table,
        value_type=pa.string() if features[0].dtype == "string" else pa.int64(),
        min_count=features[0].min_count,
    )


def _log_turnover(previous: Previous, turnover: dict[str, Turnover]) -> None:
    counts = [sum(getattr(t, name) for t in turnover.values()) for name in ("new", "kept", "freed")]
    log.info("since %s: %d new values, %d kept their row, %d freed", previous.as_of, *counts)
    for table, change in turnover.items():
        if change.compacted:
            log.warning(
                "most rows of table %s were free: it is packed anew into %d rows, and its %d "
                "values have new rows",
                table,
                change.rows,
                change.new + change.kept,
            )


def _with_scales(schema: Schema, paths: RunPaths) -> Schema:
    scales = {}
    for table, features in schema.projections.items():
        # An item's value counts once, however many queries share the feature.
        counted = next((f for f in features if f.side == "item"), features[0])
        file = paths.catalogue_files.latest(counted.side)
        scales[table] = measure_scale(
            features,
            [_history(paths, feature) for feature in features],
            pq.read_table(file, columns=[counted.name])[counted.name],
        )
    return schema.scaled(scales)


def _history(paths: RunPaths, feature: Feature) -> pa.ChunkedArray:
    file = paths.catalogue_files.history(feature.side)
    return pq.read_table(file, columns=[feature.name])[feature.name]


def load_vocabularies(folder: Path) -> dict[str, Vocabulary]:
    """Read the vocabularies that `build_vocabularies` wrote, by table name."""
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
