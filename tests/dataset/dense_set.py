"""The training set of `small_set`, with a vector of both sides and a number of the items."""

from dataclasses import replace

import numpy as np

from longtail.dataset.training_set import TrainingSet
from longtail.features.encoding import EncodedRows, offsets_of
from longtail.features.schema import Feature, Scale, Schema
from tests.dataset.small_set import SCHEMA, cells, make_training_set

LENGTH, NUM_VECTORS = 7, 9
TEXT = {
    side: Feature("text", side, "dense", "vector", "text", 4, scale=Scale(LENGTH))  # type: ignore[arg-type]
    for side in ("query", "item")
}
PRICE = Feature("price", "item", "dense", "number", "price", 2, scale=Scale(1, 5.0, 2.0))
# The vector stands between other features: its place in the rows is not its place in a batch.
DENSE_SCHEMA = Schema(
    query=(*SCHEMA.query, TEXT["query"]),
    item=(SCHEMA.item[0], TEXT["item"], *SCHEMA.item[1:], PRICE),
)


def make_dense_set() -> TrainingSet:
    """Return the training set; every third vector and every fourth number is missing."""
    plain = make_training_set()
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(NUM_VECTORS, LENGTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    prices = generator.normal(size=(3, 1)).astype(np.float32)

    def text(row: int) -> list[int]:
        return [] if row % 3 == 2 else [row % NUM_VECTORS]

    item_rows, query_rows = [], []
    for row in range(plain.item_rows.num_rows):
        first, *rest = cells(plain.item_rows, row)
        item_rows.append([first, text(row), *rest, [] if row % 4 == 1 else [row % 3]])
    for row in range(plain.query_rows.num_rows):
        query_rows.append([*cells(plain.query_rows, row), text(row + 1)])
    return replace(
        plain,
        schema=DENSE_SCHEMA,
        item_rows=_jagged(item_rows, {1: vectors, 5: prices}),
        query_rows=_jagged(query_rows, {2: vectors}),
    )


def _jagged(rows: list[list[list[int]]], vectors: dict[int, np.ndarray]) -> EncodedRows:
    flat = [cell for row in rows for cell in row]
    lengths = np.array([len(cell) for cell in flat], np.int64)
    values = np.array([value for cell in flat for value in cell], np.int32)
    return EncodedRows(len(rows[0]), offsets_of(lengths), values, vectors)
