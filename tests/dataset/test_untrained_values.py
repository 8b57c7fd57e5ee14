import pyarrow as pa
import pytest

from longtail.dataset.untrained_values import untrained_shares
from longtail.features.vocabulary import Vocabulary
from tests.dataset.dense_set import DENSE_SCHEMA, make_dense_set
from tests.dataset.small_set import NUM_ROWS, cells


def test_a_value_that_no_training_example_has_is_counted() -> None:
    """Compare with a walk over the examples, cell by cell; two of the package rows are free."""
    training_set = make_dense_set()
    seen: dict[str, set[int]] = {table: set() for table in NUM_ROWS}
    for features, rows, used in (
        (DENSE_SCHEMA.query, training_set.query_rows, training_set.train.query_row),
        (DENSE_SCHEMA.item, training_set.item_rows, training_set.train.item_row),
    ):
        for row in used:
            for feature, cell in zip(features, cells(rows, row), strict=True):
                if not feature.is_dense:
                    seen[feature.table].update(cell)
    vocabularies = {}
    for table, num_rows in NUM_ROWS.items():
        values = pa.array(range(num_rows))
        if table == "package":
            values = pa.array([None if row in (8, 9) else row for row in range(num_rows)])
        vocabularies[table] = Vocabulary(table, values, pa.array([1] * num_rows))
    vocabularies["tags"] = Vocabulary("tags", pa.nulls(0), pa.nulls(0), buckets=NUM_ROWS["tags"])
    shares = untrained_shares(training_set, vocabularies)
    assert {8, 9}.isdisjoint(seen["package"])
    expected = {table: 1 - len(seen[table]) / NUM_ROWS[table] for table in NUM_ROWS}
    expected["package"] = 1 - len(seen["package"]) / (NUM_ROWS["package"] - 2)
    assert shares == pytest.approx(expected)
    assert shares["package"] > 0
