"""A batch, looked at cell by cell against the training set that it came from."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from longtail.config import Config, LossConfig, SelfSupervisionConfig, TrainingConfig
from longtail.dataset.batches import Batch, BatchBuilder
from longtail.dataset.training_set import (
    Examples,
    TrainingSet,
    load_training_set,
    write_training_set,
)
from longtail.features.encoding import EncodedRows, offsets_of
from longtail.features.schema import Feature, Schema

SCHEMA = Schema(
    query=(Feature("query_id", "query", "single", "string", "package", 4, is_id=True),),
    item=(
        Feature("item_id", "item", "single", "string", "package", 4, is_id=True),
        Feature("tags", "item", "multi", "string", "tags", 4),
    ),
)
NUM_ITEMS, NUM_QUERIES = 12, 5


def jagged(rows: list[list[list[int]]]) -> EncodedRows:
    cells = [cell for row in rows for cell in row]
    lengths = np.array([len(cell) for cell in cells], np.int64)
    values = np.array([value for cell in cells for value in cell], np.int32)
    return EncodedRows(len(rows[0]), offsets_of(lengths), values)


@pytest.fixture
def training_set(tmp_path: Path) -> TrainingSet:
    """Items 0..11, the last of which is out of the catalogue; item 3 has a second, older row."""
    rng = np.random.default_rng(0)
    item_rows = [[[i], rng.integers(0, 9, 6).tolist()] for i in range(NUM_ITEMS)]
    item_rows.append([[3], [1, 2]])
    count = 40
    item_row = rng.integers(0, 7, count).astype(np.int32)
    item_row[::8] = NUM_ITEMS  # the older row of item 3
    examples = Examples(
        rng.integers(0, NUM_QUERIES, count).astype(np.int32),
        item_row,
        rng.uniform(0.5, 2, count).astype(np.float32),
        rng.integers(0, 3, count) * 10,
    )
    item_of_row = np.array([*range(NUM_ITEMS), 3], np.int32)
    catalogue_row = np.arange(NUM_ITEMS, dtype=np.int32)
    catalogue_row[-1] = -1
    made = TrainingSet(
        schema=SCHEMA,
        item_rows=jagged(item_rows),
        query_rows=jagged([[[q]] for q in range(NUM_QUERIES)]),
        item_ids=pa.array([f"i{n:02}" for n in range(NUM_ITEMS)]),
        catalogue_row=catalogue_row,
        item_of_row=item_of_row,
        first_seen=np.where(np.arange(NUM_ITEMS) % 4 == 3, 10, 0),
        train_count=np.bincount(item_of_row[examples.item_row], minlength=NUM_ITEMS),
        query_ids=pa.array([f"q{n}" for n in range(NUM_QUERIES)]),
        latest_query_row=np.arange(NUM_QUERIES, dtype=np.int32),
        query_of_row=np.arange(NUM_QUERIES, dtype=np.int32),
        train=examples,
        validation=Examples(*(values[:0] for values in vars(examples).values())),
        test=examples,
    )
    write_training_set(tmp_path, made)
    return load_training_set(tmp_path)


def config(**changes: object) -> Config:
    sections = {
        "training": TrainingConfig(batch_size=16, seed=3),
        "self_supervision": SelfSupervisionConfig(sample_size=6, value_dropout=0.5),
        **changes,
    }
    return Config(feature_repo=Path(), **sections)


def first_batch(training_set: TrainingSet, settings: Config) -> tuple[Batch, np.ndarray]:
    builder = BatchBuilder(training_set, settings)
    positions, counts = builder.examples.batch(builder.examples.epoch_order(0), 0)
    return builder.build(positions, counts, step=0), positions


def lists(batch: Batch, key: str, count: int) -> list[list[int]]:
    jagged_tensor = batch.features[key]
    values, offsets = jagged_tensor.values().tolist(), jagged_tensor.offsets().tolist()
    return [values[offsets[r] : offsets[r + 1]] for r in range(count)]


def test_features_of_every_example_are_those_of_its_rows(training_set: TrainingSet) -> None:
    batch, examples = first_batch(training_set, config())
    tags = lists(batch, "item.tags", batch.num_items)
    ids = lists(batch, "item.item_id", batch.num_items)
    queries = lists(batch, "query.query_id", batch.num_queries)
    for n, example in enumerate(examples):
        row = training_set.train.item_row[example]
        offsets = training_set.item_rows.offsets
        expected = training_set.item_rows.values[offsets[2 * row + 1] : offsets[2 * row + 2]]
        assert tags[batch.item[n]] == expected.tolist()
        assert ids[batch.item[n]] == [training_set.item_of_row[row]]
        assert queries[batch.query[n]] == [training_set.train.query_row[example]]
        assert batch.weight[n] == training_set.train.weight[example]
    assert batch.num_items == len(set(training_set.train.item_row[examples].tolist()))


def test_the_sample_is_distinct_and_from_the_catalogue(training_set: TrainingSet) -> None:
    batch, _ = first_batch(training_set, config())
    everything = lists(batch, "item.item_id", batch.num_items + batch.num_sampled)
    sampled = [cell[0] for cell in everything[batch.num_items :]]
    assert len(sampled) == len(set(sampled)) == 6
    assert NUM_ITEMS - 1 not in sampled  # it has left the catalogue


def test_accidental_hits_equal_a_search_by_hand(training_set: TrainingSet) -> None:
    batch, examples = first_batch(training_set, config())
    train = training_set.train
    positives: dict[int, set[int]] = {}
    for query, row in zip(train.query_row, train.item_row, strict=True):
        positives.setdefault(int(query), set()).add(int(training_set.item_of_row[row]))
    ids = lists(batch, "item.item_id", batch.num_items + batch.num_sampled)
    candidates = [cell[0] for cell in ids]
    expected = {
        (n, c)
        for n, example in enumerate(examples)
        for c, item in enumerate(candidates)
        if item in positives[int(train.query_row[example])]
    }
    found = list(
        zip(batch.excluded_example.tolist(), batch.excluded_candidate.tolist(), strict=True)
    )
    assert set(found) == expected
    assert batch.candidate_birth.tolist() == [10 if item % 4 == 3 else 0 for item in candidates]


def test_expected_counts_are_those_of_the_mixture(training_set: TrainingSet) -> None:
    batch, examples = first_batch(training_set, config())
    train = training_set.train
    items = training_set.item_of_row[train.item_row]
    ids = lists(batch, "item.item_id", batch.num_items + batch.num_sampled)
    for c, (item,) in enumerate(ids):
        expected = 16 * np.mean(items == item) + 6 / 11
        assert batch.candidate_expected[c].item() == pytest.approx(expected, rel=1e-6)
    assert batch.candidate_repeats[: batch.num_items].sum() == len(examples)

    alone, _ = first_batch(training_set, config(loss=LossConfig(mixed_negatives=False)))
    assert len(alone.candidate_expected) == alone.num_items
    first = lists(alone, "item.item_id", alone.num_items)[0][0]
    assert alone.candidate_expected[0].item() == pytest.approx(16 * np.mean(items == first))


def test_values_are_dropped_in_sampled_items_only(training_set: TrainingSet) -> None:
    builder = BatchBuilder(training_set, config())
    kept = total = 0
    for step in range(200):
        batch = builder.build(np.arange(16), np.ones(16, bool), step=step)
        ids = lists(batch, "item.item_id", batch.num_items + batch.num_sampled)
        tags = lists(batch, "item.tags", batch.num_items + batch.num_sampled)
        offsets, values = training_set.item_rows.offsets, training_set.item_rows.values
        for (item,), cell in list(zip(ids, tags, strict=True))[batch.num_items :]:
            whole = values[offsets[2 * item + 1] : offsets[2 * item + 2]].tolist()
            remaining = iter(whole)
            assert all(value in remaining for value in cell)  # a subsequence
            kept, total = kept + len(cell), total + len(whole)
    # A binomial share of 0.5 over 7,200 values: five standard deviations are 0.03.
    assert kept / total == pytest.approx(0.5, abs=0.03)


def test_no_sample_where_nothing_wants_one(training_set: TrainingSet) -> None:
    settings = config(
        loss=LossConfig(mixed_negatives=False),
        self_supervision=SelfSupervisionConfig(augmentation="none"),
    )
    batch, _ = first_batch(training_set, settings)
    assert batch.num_sampled == 0


def test_the_same_step_gives_the_same_batch(training_set: TrainingSet) -> None:
    one, _ = first_batch(training_set, config())
    two, _ = first_batch(training_set, config())
    assert one.features.values().tolist() == two.features.values().tolist()
    assert one.mask_draw == two.mask_draw


def test_the_last_batch_is_filled_with_weight_zero(training_set: TrainingSet) -> None:
    batches = list(BatchBuilder(training_set, config()).epoch(0))
    assert len(batches) == 3  # 40 examples, 16 a batch
    weights = np.concatenate([batch.weight.numpy() for batch in batches])
    assert np.count_nonzero(weights) == 40
    assert weights.sum() == pytest.approx(training_set.train.weight.sum(), rel=1e-6)
