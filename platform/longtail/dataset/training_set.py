"""The training set on disk: distinct encoded rows, and the examples that point at them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longtail.artifacts import read_json, replaced_file, write_json
from longtail.dataset.histories import Histories, item_codes, with_newest
from longtail.dataset.splits import pair_position
from longtail.errors import LongtailError
from longtail.features.encoding import EncodedRows
from longtail.features.schema import Schema, Side

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Examples:
    """The positive pairs of one part.

    Attributes:
        query_row: `[n]` int32 rows of `TrainingSet.query_rows`, features as of the interaction.
        item_row: `[n]` int32 rows of `TrainingSet.item_rows`, features as of the interaction.
        weight: `[n]` float32.
        timestamp: `[n]` int64, microseconds since 1970-01-01 UTC.
    """

    query_row: npt.NDArray[np.int32]
    item_row: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    timestamp: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.query_row)


@dataclass(frozen=True)
class TrainingSet:
    """The data that training and evaluation read, memory-mapped.

    An item or a query may have several rows, one for each state that its features were in.

    Attributes:
        schema: the features, in the order of the encoded rows.
        item_rows, query_rows: distinct encoded rows.
        item_ids: `[num_items]` every item ever seen, sorted.
        catalogue_row: `[num_items]` int32, the row of the item's features as of the day; -1 for an
            item that is not in the catalogue.
        item_of_row: `[num_item_rows]` int32, the row's item, a position in `item_ids`.
        first_seen: `[num_items]` int64 microseconds, the item's birth.
        train_count: `[num_items]` int64, training interactions.
        query_ids: `[num_queries]` every query ever seen, sorted.
        latest_query_row: `[num_queries]` int32, the row of the query's features as of the day.
        query_of_row: `[num_query_rows]` int32, the row's query, a position in `query_ids`.
        train, validation, test: the examples of each part.
        histories: the training items of each query, if the schema has a history, else None. The
            rows of queries have the newest ones as their last feature.
    """

    schema: Schema
    item_rows: EncodedRows
    query_rows: EncodedRows
    item_ids: pa.Array
    catalogue_row: npt.NDArray[np.int32]
    item_of_row: npt.NDArray[np.int32]
    first_seen: npt.NDArray[np.int64]
    train_count: npt.NDArray[np.int64]
    query_ids: pa.Array
    latest_query_row: npt.NDArray[np.int32]
    query_of_row: npt.NDArray[np.int32]
    train: Examples
    validation: Examples
    test: Examples
    histories: Histories | None = None

    def fraction(self, fraction: float) -> "TrainingSet":
        """Return this training set with a hash-chosen share of its training part.

        Vocabularies, catalogue and held-out parts stay; `train_count` and the histories follow. A
        smaller share is a part of a larger one.
        """
        assert 0.0 < fraction <= 1.0
        query = self.query_of_row[self.train.query_row]
        item = self.item_of_row[self.train.item_row]
        place = pair_position(
            self.query_ids.take(pa.array(query)),
            self.item_ids.take(pa.array(item)),
            unordered=self.schema.shared_ids,
        )
        last = np.sort(place)[int(np.ceil(fraction * len(place))) - 1]
        kept = np.flatnonzero(place <= last)
        chosen = replace(
            self,
            train=Examples(*(values[kept] for values in vars(self.train).values())),
            train_count=np.bincount(item[kept], minlength=len(self.item_ids)),
        )
        if self.histories is None:
            return chosen
        # Whether there are timestamps is a matter of all data.
        return chosen.with_histories(self.histories.length, timed=self.histories.timed)

    def with_histories(self, length: int, *, timed: bool | None = None) -> "TrainingSet":
        """Return this training set with the histories of its training part.

        The schema must have a history. The rows of queries may lack it; one that they have is
        replaced.

        Args:
            length: most items of a history.
            timed: whether the interactions have more than one timestamp; None looks at all parts.
        """
        if timed is None:
            times = [getattr(self, part).timestamp for part in PARTS]
            times = [values for values in times if len(values)]
            timed = min(map(np.min, times)) < max(map(np.max, times))
        histories = Histories.of_pairs(
            self.query_of_row[self.train.query_row],
            self.item_of_row[self.train.item_row],
            self.train.timestamp,
            code=item_codes(self.item_rows, self.item_of_row, len(self.item_ids)),
            num_queries=len(self.query_ids),
            length=length,
            timed=bool(timed),
        )
        num_sourced = len(self.schema.sourced("query"))
        rows = with_newest(self.query_rows, self.query_of_row, histories, num_sourced=num_sourced)
        return replace(self, histories=histories, query_rows=rows)


def write_training_set(folder: Path, training_set: TrainingSet) -> None:
    """Write a training set as Arrow files that can be memory-mapped."""
    s = training_set
    write_json(folder / "schema.json", s.schema.to_json())
    _write_rows(folder, "item", s.item_rows)
    _write_rows(folder, "query", s.query_rows)
    _write(folder / "item_of_row.arrow", pa.table({"item": s.item_of_row}))
    _write(folder / "query_of_row.arrow", pa.table({"query": s.query_of_row}))
    items = {
        "item_id": s.item_ids,
        "catalogue_row": s.catalogue_row,
        "first_seen": s.first_seen,
        "train_count": s.train_count,
    }
    _write(folder / "items.arrow", pa.table(items))
    queries = {"query_id": s.query_ids, "latest_row": s.latest_query_row}
    _write(folder / "queries.arrow", pa.table(queries))
    if s.histories is not None:
        _write(folder / "histories.arrow", _lists(s.histories))
        _write(folder / "item_codes.arrow", pa.table({"code": s.histories.code}))
    for part in PARTS:
        _write(folder / f"{part}.arrow", pa.table(vars(getattr(s, part))))


def load_training_set(folder: Path) -> TrainingSet:
    """Memory-map the files that `write_training_set` wrote; nothing is copied.

    Raises:
        LongtailError: a file is missing or damaged.
    """
    items, queries = _read(folder / "items.arrow"), _read(folder / "queries.arrow")
    parts = {part: _read(folder / f"{part}.arrow") for part in PARTS}
    schema = Schema.from_json(read_json(folder / "schema.json"))
    return TrainingSet(
        schema=schema,
        item_rows=_read_rows(folder, "item", schema),
        query_rows=_read_rows(folder, "query", schema),
        item_ids=items["item_id"].combine_chunks(),
        catalogue_row=_numpy(items, "catalogue_row"),
        item_of_row=_numpy(_read(folder / "item_of_row.arrow"), "item"),
        first_seen=_numpy(items, "first_seen"),
        train_count=_numpy(items, "train_count"),
        query_ids=queries["query_id"].combine_chunks(),
        latest_query_row=_numpy(queries, "latest_row"),
        query_of_row=_numpy(_read(folder / "query_of_row.arrow"), "query"),
        histories=None if schema.history is None else _histories(folder),
        **{
            part: Examples(**{name: _numpy(table, name) for name in table.column_names})
            for part, table in parts.items()
        },
    )


def _write_rows(folder: Path, side: Side, rows: EncodedRows) -> None:
    _write(folder / f"{side}_rows.arrow", rows.to_arrow())
    for position, vectors in rows.vectors.items():
        flat = pa.array(vectors.reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        _write(folder / f"{side}_vectors_{position}.arrow", pa.table({"vector": column}))


def _read_rows(folder: Path, side: Side, schema: Schema) -> EncodedRows:
    vectors = {}
    for position, feature in enumerate(schema.side(side)):
        if feature.is_dense:
            column = _read(folder / f"{side}_vectors_{position}.arrow")["vector"].combine_chunks()
            flat = column.flatten().to_numpy(zero_copy_only=len(column) > 0)
            vectors[position] = flat.reshape(-1, feature.length)
    return EncodedRows.from_arrow(_read(folder / f"{side}_rows.arrow"), vectors)


def _lists(histories: Histories) -> pa.Table:
    """Return a table with the lists of one query a row."""
    lists = {
        name: pa.LargeListArray.from_arrays(histories.offsets, getattr(histories, name))
        for name in ("item", "moment")
    }
    about = {"length": str(histories.length), "timed": str(int(histories.timed))}
    return pa.table(lists).replace_schema_metadata(about)


def _histories(folder: Path) -> Histories:
    """Memory-map the histories that `_lists` describes."""
    table = _read(folder / "histories.arrow")
    item, moment = (table[name].combine_chunks() for name in ("item", "moment"))
    return Histories(
        length=int(table.schema.metadata[b"length"]),
        timed=bool(int(table.schema.metadata[b"timed"])),
        code=_numpy(_read(folder / "item_codes.arrow"), "code"),
        offsets=item.offsets.to_numpy(),
        item=item.values.to_numpy(),
        moment=moment.values.to_numpy(),
    )


def _write(path: Path, table: pa.Table) -> None:
    combined = table.combine_chunks()  # one record batch, so that a reader has nothing to join
    with (
        replaced_file(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, combined.schema) as writer,
    ):
        writer.write_table(combined)


def _read(path: Path) -> pa.Table:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise LongtailError(
            f"{path} cannot be read ({error}): delete its folder and run `longtail dataset`"
        ) from error


def _numpy(table: pa.Table, column: str) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = (
        table[column].combine_chunks().to_numpy(zero_copy_only=table.num_rows > 0)
    )
    return array
