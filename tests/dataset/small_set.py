"""A training set of a dozen items, with every irregularity that a batch can meet."""

import numpy as np
import pyarrow as pa

from longtail.dataset.batch import Batch
from longtail.dataset.training_set import Examples, TrainingSet
from longtail.features.encoding import EncodedRows, offsets_of
from longtail.features.schema import Feature, Schema

SCHEMA = Schema(
    query=(
        Feature("query_id", "query", "single", "string", "package", 4, is_id=True),
        Feature("section", "query", "single", "string", "section", 3),
    ),
    item=(
        Feature("item_id", "item", "single", "string", "package", 4, is_id=True),
        Feature("tags", "item", "multi", "string", "tags", 2),
        Feature("section", "item", "single", "string", "section", 3),
        Feature("words", "item", "multi", "string", "words", 5),
    ),
)
NUM_ITEMS, NUM_QUERIES = 12, 12
NUM_ROWS = {"package": NUM_ITEMS + NUM_QUERIES, "section": 4, "tags": 9, "words": 7}
OLDER_ROW = NUM_ITEMS  # an older row of item 3
MULTI_VALUED = (1, 3)


def jagged(rows: list[list[list[int]]]) -> EncodedRows:
    """Encode rows of cells of values."""
    cells = [cell for row in rows for cell in row]
    lengths = np.array([len(cell) for cell in cells], np.int64)
    values = np.array([value for cell in cells for value in cell], np.int32)
    return EncodedRows(len(rows[0]), offsets_of(lengths), values)


def cells(rows: EncodedRows, row: int) -> list[list[int]]:
    """Return the cells of one row, read value by value."""
    first = row * rows.num_features
    return [
        [int(rows.values[at]) for at in range(rows.offsets[cell], rows.offsets[cell + 1])]
        for cell in range(first, first + rows.num_features)
    ]


def rows_of(batch: Batch, side: str) -> list[list[list[int]]]:
    """Return the cells of a side's rows in a batch; the rest of its stride is empty."""
    columns = []
    for feature in SCHEMA.side(side):
        jagged = batch.features[feature.key]
        values, ends = jagged.values().tolist(), np.cumsum([0, *jagged.lengths().tolist()])
        column = [values[ends[cell] : ends[cell + 1]] for cell in range(len(ends) - 1)]
        if feature.key in batch.repeated:
            own = batch.repeated[feature.key]
            of_row = own.of_row[: len(own.rows)].tolist()
            column = [column[cell] for cell in of_row] + [[]] * (len(column) - len(of_row))
        columns.append(column)
    return [list(row) for row in zip(*columns, strict=True)]


def make_training_set(num_examples: int = 40) -> TrainingSet:
    """Return the training set: items 0 to 11 have table rows 0 to 11, and queries the rows after.

    Item 11 is out of the catalogue, items 7 to 10 have no training interaction, item 3 has an
    older row, items 3 and 7 are younger than some interactions. Some tags and sections are missing.
    """
    rng = np.random.default_rng(0)

    def values(num_values: int, sizes: list[int]) -> list[int]:
        return rng.integers(0, num_values, rng.choice(sizes)).tolist()

    item_rows = [
        [[item], values(9, [0, 3, 6]), values(4, [0, 1, 1]), values(7, [2, 5])]
        for item in range(NUM_ITEMS)
    ]
    item_rows.append([[3], [1, 2], [0], [4, 4, 6]])
    query_rows = [[[NUM_ITEMS + query], values(4, [1])] for query in range(NUM_QUERIES)]
    for query in (2, 5, 6, 9):
        query_rows[query][1] = []
    # Few items and queries, so that both repeat inside a batch.
    item_row = rng.integers(0, 7, num_examples).astype(np.int32)
    item_row[::8] = OLDER_ROW
    examples = Examples(
        rng.integers(0, NUM_QUERIES, num_examples).astype(np.int32),
        item_row,
        rng.uniform(0.5, 2, num_examples).astype(np.float32),
        rng.integers(0, 3, num_examples) * 10,
    )
    item_of_row = np.array([*range(NUM_ITEMS), 3], np.int32)
    catalogue_row = np.arange(NUM_ITEMS, dtype=np.int32)
    catalogue_row[-1] = -1
    held_out = Examples(*(column[:7] for column in vars(examples).values()))
    return TrainingSet(
        schema=SCHEMA,
        item_rows=jagged(item_rows),
        query_rows=jagged(query_rows),
        item_ids=pa.array([f"i{number:02}" for number in range(NUM_ITEMS)]),
        catalogue_row=catalogue_row,
        item_of_row=item_of_row,
        first_seen=np.where(np.arange(NUM_ITEMS) % 4 == 3, 10, 0),
        train_count=np.bincount(item_of_row[item_row], minlength=NUM_ITEMS),
        query_ids=pa.array([f"q{number}" for number in range(NUM_QUERIES)]),
        latest_query_row=np.arange(NUM_QUERIES, dtype=np.int32),
        query_of_row=np.arange(NUM_QUERIES, dtype=np.int32),
        train=examples,
        validation=held_out,
        test=held_out,
    )
