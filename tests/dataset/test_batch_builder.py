"""Batches, cell by cell against the training set that they came from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from longtail.config import Config, LossConfig, SelfSupervisionConfig, TrainingConfig
from longtail.dataset.batch import Batch
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.training_set import TrainingSet, load_training_set, write_training_set
from tests.dataset.small_set import NUM_ITEMS, cells, make_training_set, rows_of


@pytest.fixture
def training_set(tmp_path: Path) -> TrainingSet:
    """Return a memory-mapped set, as training reads it."""
    write_training_set(tmp_path, make_training_set())
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


def candidates_of(batch: Batch) -> list[int]:
    """Return the item of each candidate; an item's id is its row in the table of ids."""
    rows = rows_of(batch, "item")[: batch.num_items + batch.num_sampled]
    return [row[0][0] for row in rows]


def test_features_of_every_example_are_those_of_its_rows(training_set: TrainingSet) -> None:
    batch, examples = first_batch(training_set, config())
    items, queries = rows_of(batch, "item"), rows_of(batch, "query")
    train = training_set.train
    for n, example in enumerate(examples):
        item_row, query_row = int(train.item_row[example]), int(train.query_row[example])
        assert items[batch.item[n]] == cells(training_set.item_rows, item_row)
        assert queries[batch.query[n]] == cells(training_set.query_rows, query_row)
        assert batch.weight[n] == train.weight[example]
        assert batch.timestamp[n] == train.timestamp[example]
    assert batch.num_items == len(set(train.item_row[examples].tolist()))
    assert batch.num_queries == len(set(train.query_row[examples].tolist()))
    # The rest of the stride is empty.
    assert not any(cell for row in queries[batch.num_queries :] for cell in row)
    assert not any(cell for row in items[batch.num_items + batch.num_sampled :] for cell in row)


@pytest.mark.parametrize("sampling", ["uniform", "frequency"])
def test_the_sample_is_distinct_and_from_the_catalogue(
    training_set: TrainingSet, sampling: str
) -> None:
    settings = config(self_supervision=SelfSupervisionConfig(sample_size=6, sampling=sampling))
    builder = BatchBuilder(training_set, settings)
    seen = set()
    for step in range(60):
        batch = builder.build(np.arange(16), np.ones(16, bool), step=step)
        sampled = candidates_of(batch)[batch.num_items :]
        assert len(sampled) == len(set(sampled)) == 6
        seen.update(sampled)
    # Item 11 has left the catalogue; items 7 to 10 have no training interaction.
    assert seen == set(range(NUM_ITEMS - 1 if sampling == "uniform" else 7))


@pytest.mark.parametrize("hits", ["own_item", "known_positives"])
def test_accidental_hits_equal_a_search_by_hand(training_set: TrainingSet, hits: str) -> None:
    settings = config(loss=LossConfig(accidental_hits=hits))
    batch, examples = first_batch(training_set, settings)
    train = training_set.train
    positives: dict[int, set[int]] = {}
    for query, row in zip(train.query_row, train.item_row, strict=True):
        positives.setdefault(int(query), set()).add(int(training_set.item_of_row[row]))
    expected = set()
    for n, example in enumerate(examples):
        own = {int(training_set.item_of_row[train.item_row[example]])}
        excluded = own if hits == "own_item" else positives[int(train.query_row[example])]
        expected |= {(n, c) for c, item in enumerate(candidates_of(batch)) if item in excluded}
    found = list(
        zip(batch.excluded_example.tolist(), batch.excluded_candidate.tolist(), strict=True)
    )
    assert set(found) == expected
    assert batch.excluded_example.tolist() == sorted(batch.excluded_example.tolist())


@pytest.mark.parametrize("unborn", [True, False])
def test_items_born_late_are_named_where_they_are_no_negatives(
    training_set: TrainingSet, unborn: bool
) -> None:
    settings = config(loss=LossConfig(unborn_negatives=unborn))
    batch, _ = first_batch(training_set, settings)
    birth = [10 if item % 4 == 3 else 0 for item in candidates_of(batch)]
    assert batch.candidate_birth.tolist() == birth
    earliest = int(batch.timestamp.min())
    late = [c for c, born in enumerate(birth) if born > earliest]
    assert late
    assert batch.late.tolist() == ([] if unborn else late)


@pytest.mark.parametrize("world_size", [1, 2])
def test_expected_counts_are_those_of_the_mixture(
    training_set: TrainingSet, world_size: int
) -> None:
    builder = BatchBuilder(training_set, config(), world_size=world_size, rank=world_size - 1)
    batch = builder.build(np.arange(16), np.ones(16, bool), step=0)
    items = training_set.item_of_row[training_set.train.item_row].tolist()
    size = 6 if world_size == 1 else 5  # two ranks share a catalogue of eleven
    assert batch.num_sampled == size
    for c, item in enumerate(candidates_of(batch)):
        expected = 16 * items.count(item) / len(items) + size / 11
        assert batch.candidate_expected[c].item() == pytest.approx(expected, rel=1e-6)


def test_without_mixed_negatives_the_sample_is_no_candidate(training_set: TrainingSet) -> None:
    batch, _ = first_batch(training_set, config(loss=LossConfig(mixed_negatives=False)))
    items = training_set.item_of_row[training_set.train.item_row].tolist()
    assert batch.num_sampled == 6
    assert len(batch.candidate_expected) == len(batch.candidate_repeats) == batch.num_items
    for c, item in enumerate(candidates_of(batch)[: batch.num_items]):
        expected = 16 * items.count(item) / len(items)
        assert batch.candidate_expected[c].item() == pytest.approx(expected, rel=1e-6)


def test_candidates_by_frequency_are_expected_as_their_sampler_says(
    training_set: TrainingSet,
) -> None:
    settings = config(self_supervision=SelfSupervisionConfig(sample_size=4, sampling="frequency"))
    builder = BatchBuilder(training_set, settings)
    items = training_set.item_of_row[training_set.train.item_row].tolist()
    batch = builder.build(np.arange(16), np.ones(16, bool), step=0)
    for c, item in enumerate(candidates_of(batch)):
        expected = 16 * items.count(item) / len(items) + builder.catalogue.expected[item]
        assert batch.candidate_expected[c].item() == pytest.approx(expected, rel=1e-6)


def test_repeats_count_examples_and_cold_negatives_less(training_set: TrainingSet) -> None:
    batch, examples = first_batch(training_set, config(loss=LossConfig(cold_negative_weight=0.25)))
    rows = training_set.train.item_row[examples].tolist()
    repeats = batch.candidate_repeats.tolist()
    candidates = candidates_of(batch)
    assert repeats[: batch.num_items] == [rows.count(row) for row in sorted(set(rows))]
    # Items 0 to 6 have training interactions.
    weights = [1.0 if item < 7 else 0.25 for item in candidates[batch.num_items :]]
    assert repeats[batch.num_items :] == weights
    assert {1.0, 0.25} == set(weights)


def test_no_sample_where_nothing_wants_one(training_set: TrainingSet) -> None:
    for augmentation in ("none", "feature_dropout"):
        settings = config(
            loss=LossConfig(mixed_negatives=False),
            self_supervision=SelfSupervisionConfig(augmentation=augmentation),
        )
        batch, _ = first_batch(training_set, settings)
        assert batch.num_sampled == 0


def test_the_same_step_gives_the_same_batch(training_set: TrainingSet) -> None:
    one, _ = first_batch(training_set, config())
    two, _ = first_batch(training_set, config())
    assert one.features.values().tolist() == two.features.values().tolist()
    assert one.mask_draws == two.mask_draws


@pytest.mark.parametrize("num_masks", [1, 4])
def test_ranks_share_the_masks_and_nothing_else(training_set: TrainingSet, num_masks: int) -> None:
    settings = config(self_supervision=SelfSupervisionConfig(sample_size=6, num_masks=num_masks))
    ranks = [BatchBuilder(training_set, settings, world_size=2, rank=r) for r in range(2)]
    for step, batches in enumerate(zip(ranks[0].epoch(0), ranks[1].epoch(0), strict=True)):
        left, right = batches
        assert left.step == right.step == step
        assert left.mask_draws == right.mask_draws
        assert len(left.mask_draws) == num_masks
        sampled = [candidates_of(batch)[batch.num_items :] for batch in batches]
        assert not set(sampled[0]) & set(sampled[1])


def test_more_masks_change_nothing_but_the_masks(training_set: TrainingSet) -> None:
    one, _ = first_batch(training_set, config())
    ssl = SelfSupervisionConfig(sample_size=6, value_dropout=0.5, num_masks=5)
    settings = config(self_supervision=ssl)
    five, _ = first_batch(training_set, settings)
    assert five.features.values().tolist() == one.features.values().tolist()
    assert five.mask_draws[:1] == one.mask_draws
    assert len(set(five.mask_draws)) == 5
    assert five.to(torch.device("cpu")).mask_draws == five.mask_draws


@pytest.mark.parametrize("augmentation", ["dropout_only", "spread_out", "none"])
def test_one_mask_is_enough_where_nothing_is_hidden(
    training_set: TrainingSet, augmentation: str
) -> None:
    ssl = SelfSupervisionConfig(augmentation=augmentation, sample_size=6, num_masks=5)
    batch, _ = first_batch(training_set, config(self_supervision=ssl))
    assert len(batch.mask_draws) == 1


def test_the_last_batch_is_filled_with_weight_zero(training_set: TrainingSet) -> None:
    batches = list(BatchBuilder(training_set, config()).epoch(0))
    assert len(batches) == 3  # 40 examples, 16 a batch
    weights = np.concatenate([batch.weight.numpy() for batch in batches])
    assert np.count_nonzero(weights) == 40
    assert weights.sum() == pytest.approx(training_set.train.weight.sum(), rel=1e-6)


def test_an_epoch_that_goes_on_is_the_epoch(training_set: TrainingSet) -> None:
    ssl = SelfSupervisionConfig(sample_size=6, num_masks=3)
    settings = config(loss=LossConfig(logq="streaming"), self_supervision=ssl)
    whole = list(BatchBuilder(training_set, settings).epoch(2))
    (rest,) = BatchBuilder(training_set, settings).epoch(2, first_step=2)
    assert [batch.step for batch in whole] == [6, 7, 8]  # steps of all epochs: nothing repeats
    # Only the first builder was asked for the earlier steps; the streaming estimate is the same.
    assert rest.candidate_expected.tolist() == whole[2].candidate_expected.tolist()
    assert rest.features.values().tolist() == whole[2].features.values().tolist()
    assert (rest.step, rest.mask_draws) == (whole[2].step, whole[2].mask_draws)


def test_a_gpu_is_not_asked_how_many_values_a_feature_has() -> None:
    """A fake device has no values, so that an operator which reads one raises an error."""
    from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

    builder = BatchBuilder(make_training_set(), config())
    features = next(builder.epoch(0)).features
    order = list(reversed(range(len(features.keys()))))
    known = features.length_per_key()
    unknown = KeyedJaggedTensor(
        features.keys(), features.values(), lengths=features.lengths(), stride=features.stride()
    )
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:

        def on_fake_device(features: KeyedJaggedTensor) -> KeyedJaggedTensor:
            return KeyedJaggedTensor(
                features.keys(),
                mode.from_tensor(features.values()),
                lengths=mode.from_tensor(features.lengths()),
                stride=features.stride(),
                length_per_key=features.length_per_key_or_none(),
            )

        assert on_fake_device(features).permute(order).length_per_key() == known[::-1]
        with pytest.raises(DataDependentOutputException):
            on_fake_device(unknown).permute(order)
