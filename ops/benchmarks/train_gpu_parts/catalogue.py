"""A synthetic catalogue in which one table has nearly all rows."""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longtail.dataset.training_set import Examples, TrainingSet
from longtail.features.encoding import EncodedRows, offsets_of
from longtail.features.schema import Feature, Schema

CATEGORIES, TAGS, TAGS_PER_ITEM, HISTORY = 1_000, 5_000, 5, 10
WEIGHT_BYTES = 4
GIGABYTE = 10**9
MAX_ROWS = 2**31 - 1  # rows are named by int32


def schema_of(dim: int) -> Schema:
    """Return the schema: queries have an id and a history, items an id, a category and tags."""
    return Schema(
        query=(
            Feature("query_id", "query", "single", "string", "query", dim, is_id=True),
            Feature("history", "query", "multi", "string", "item", dim),
        ),
        item=(
            Feature("item_id", "item", "single", "string", "item", dim, is_id=True),
            Feature("category", "item", "single", "string", "category", dim),
            Feature("tags", "item", "multi", "string", "tags", dim),
        ),
    )


def rows_for(gigabytes: float, dim: int, num_queries: int) -> dict[str, int]:
    """Return the rows of each table, so that weights and row-wise Adagrad's sums fill the size.

    Exits with a message if the size has too few rows for `--items`, or too many for int32.
    """
    total = int(gigabytes * GIGABYTE / (WEIGHT_BYTES * (dim + 1)))
    small = {"query": num_queries, "category": CATEGORIES, "tags": TAGS}
    rows = total - sum(small.values())
    if rows < num_queries:
        sys.exit(
            f"{gigabytes:g} GB are {total:,} rows: too few for {num_queries:,} --items, lower them"
        )
    if rows > MAX_ROWS:
        sys.exit(
            f"{gigabytes:g} GB are {rows:,} rows of {dim}: more than int32 can name, raise --dim"
        )
    return {**small, "item": rows}


def make_training_set(
    schema: Schema, num_rows: dict[str, int], num_items: int, num_examples: int, seed: int = 0
) -> TrainingSet:
    """Make a synthetic training set with power-law interactions.

    Args:
        schema: the result of `schema_of`.
        num_rows: number of rows by table.
        num_items: number of items, and of queries, in use.
        num_examples: number of training interactions.
        seed: seed of all draws.
    """
    generator = np.random.default_rng(seed)

    def popular(count: int) -> npt.NDArray[np.int64]:
        """Draw items by Zipf's law: log-uniform ranks."""
        ranks = np.exp(generator.random(count) * np.log(num_items + 1)).astype(np.int64) - 1
        drawn: npt.NDArray[np.int64] = np.minimum(ranks, num_items - 1)
        return drawn

    # One row in each stride of the table: distinct and spread out without permuting the table.
    stride = max(1, num_rows["item"] // num_items)
    place = (np.arange(num_items) * stride + generator.integers(stride, size=num_items)).astype(
        np.int32
    ) % num_rows["item"]
    generator.shuffle(place)
    history = place[popular(num_items * HISTORY)].reshape(num_items, HISTORY)
    query_cells = np.concatenate([np.arange(num_items, dtype=np.int32)[:, None], history], axis=1)
    item_cells = np.concatenate(
        [
            place[:, None],
            generator.integers(CATEGORIES, size=(num_items, 1)),
            generator.integers(TAGS, size=(num_items, TAGS_PER_ITEM)),
        ],
        axis=1,
    )
    # Everything is in the training part: only the speed of steps is measured.
    positions = np.arange(num_items, dtype=np.int32)
    examples = Examples(
        generator.integers(num_items, size=num_examples).astype(np.int32),
        popular(num_examples).astype(np.int32),
        np.ones(num_examples, np.float32),
        np.zeros(num_examples, np.int64),
    )
    nothing = Examples(*(values[:0] for values in vars(examples).values()))
    ids = pa.array([f"{number:010}" for number in range(num_items)])
    return TrainingSet(
        schema=schema,
        item_rows=_rows(item_cells, [1, 1, TAGS_PER_ITEM]),
        query_rows=_rows(query_cells, [1, HISTORY]),
        item_ids=ids,
        catalogue_row=positions,
        item_of_row=positions,
        first_seen=np.zeros(num_items, np.int64),
        train_count=np.bincount(examples.item_row, minlength=num_items),
        query_ids=ids,
        latest_query_row=positions,
        query_of_row=positions,
        train=examples,
        validation=nothing,
        test=nothing,
    )


def _rows(cells: npt.NDArray[Any], lengths: list[int]) -> EncodedRows:
    """Return encoded rows that all have the same number of values in each feature."""
    offsets = offsets_of(np.tile(lengths, len(cells)))
    return EncodedRows(len(lengths), offsets, cells.astype(np.int32).ravel())
