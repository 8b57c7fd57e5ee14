"""Features that are looked up once for each distinct cell, against the rows cell by cell."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.config import Config, SelfSupervisionConfig, TrainingConfig
from longtail.dataset.batch import Batch
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.candidates import padded
from longtail.dataset.distinct_cells import DistinctCells
from tests.dataset.small_set import make_training_set, rows_of


@given(batches=st.lists(st.lists(st.integers(-1, 9), max_size=20), max_size=4))
def test_distinct_cells_are_those_of_a_loop(batches: list[list[int]]) -> None:
    """Use one object for many batches: it remembers nothing of the earlier ones."""
    finder = DistinctCells()
    for cells in batches:
        distinct, of_row = finder.find(np.array(cells, np.int32))
        assert sorted(distinct.tolist()) == sorted(set(cells))
        assert [int(distinct[cell]) for cell in of_row] == cells


def build(share: float, monkeypatch: pytest.MonkeyPatch) -> Batch:
    monkeypatch.setattr("longtail.dataset.batch_builder._REPEATED_SHARE", share)
    config = Config(
        feature_repo=Path(),
        self_supervision=SelfSupervisionConfig(sample_size=6, value_dropout=0.4),
        training=TrainingConfig(batch_size=16),
    )
    examples = np.arange(16)
    return BatchBuilder(make_training_set(), config).build(examples, examples >= 0, step=3)


def test_a_batch_has_the_same_rows_with_and_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    by_row = build(0.0, monkeypatch)
    by_cell = build(float("inf"), monkeypatch)
    assert by_row.repeated == {}
    # Ids hardly repeat, and features with many values have no single cell to share.
    assert set(by_cell.repeated) == {"query.section", "item.section"}
    for side in ("query", "item"):
        assert rows_of(by_row, side) == rows_of(by_cell, side)
    assert by_cell.features.values().numel() < by_row.features.values().numel()


def test_rows_by_cell_are_what_the_cells_of_rows_say(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = build(float("inf"), monkeypatch)
    numbers = {"query.section": batch.num_queries}
    numbers["item.section"] = batch.num_items + batch.num_sampled * batch.num_copies
    for key, cells in batch.repeated.items():
        assert len(cells.of_row) == padded(numbers[key])
        ends = [*cells.starts.tolist()[1:], len(cells.rows)]
        for cell, (start, end) in enumerate(zip(cells.starts.tolist(), ends, strict=True)):
            wanted = [row for row in range(numbers[key]) if cells.of_row[row] == cell]
            assert cells.rows[start:end].tolist() == wanted
