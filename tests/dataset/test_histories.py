"""The histories that training and evaluation see, pair by pair: no target is in its own."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from longtail.config import Config, HistoryConfig, SelfSupervisionConfig, TrainingConfig
from longtail.dataset.batch import Batch
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.histories import Histories
from longtail.dataset.training_set import (
    PARTS,
    TrainingSet,
    load_training_set,
    write_training_set,
)
from longtail.evaluation.held_out import held_out_pairs
from tests.dataset.history_set import before_by_hand, make_history_set, newest_by_hand, pairs_of
from tests.dataset.small_set import NUM_QUERIES, cells, jagged

KEY = "query.history"


def config(*, batch_size: int = 16, seed: int = 3, **history: float) -> Config:
    settings = {"length": 3, "drop_history": 0.0, "drop_query_id": 0.0} | history
    return Config(
        feature_repo=Path(),
        history=HistoryConfig.model_validate(settings),
        training=TrainingConfig(batch_size=batch_size, seed=seed),
        self_supervision=SelfSupervisionConfig(sample_size=6),
    )


def cells_of(batch: Batch, key: str) -> list[list[int]]:
    """Return the values of a feature that no cell repeats, row by row."""
    column = batch.features[key]
    ends = np.cumsum([0, *column.lengths().tolist()])
    values = column.values().tolist()
    return [values[start:end] for start, end in itertools.pairwise(ends)]


def steps(s: TrainingSet, settings: Config, rank: int = 0) -> list[tuple[np.ndarray, Batch]]:
    """Return the examples and the batch of each step of an epoch."""
    builder = BatchBuilder(s, settings, rank=rank, world_size=rank + 1)
    order = builder.examples.epoch_order(0)
    chosen = [builder.examples.batch(order, step) for step in range(builder.steps_per_epoch)]
    return [
        (positions, builder.build(positions, counts, step=step))
        for step, (positions, counts) in enumerate(chosen)
    ]


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("length", [1, 3, 50])
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_every_training_example_sees_what_its_query_did_before_and_never_its_own_item(
    timed: bool, shared: bool, length: int, share: float
) -> None:
    s = make_history_set(length, timed=timed, shared=shared).fraction(share)
    pairs = pairs_of(s, s.train)
    assert len({pair[:2] for pair in pairs}) < len(pairs), "pairs must repeat"
    seen = 0
    for examples, batch in steps(s, config(length=length)):
        rows = cells_of(batch, KEY)
        for n, example in enumerate(examples):
            found = rows[batch.query[n]]
            # An item's id has the row of its number.
            assert pairs[example][1] not in found
            assert found == before_by_hand(pairs, pairs[example], length, timed=timed)
            seen += len(found)
    assert seen > 20


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_evaluation_sees_the_newest_items_of_the_training_part_and_no_held_out_pair(
    timed: bool, shared: bool, share: float
) -> None:
    s = make_history_set(4, timed=timed, shared=shared).fraction(share)
    trained = pairs_of(s, s.train)
    num_held_out = 0
    for row in range(s.query_rows.num_rows):
        query = int(s.query_of_row[row])
        assert cells(s.query_rows, row)[-1] == newest_by_hand(trained, query, 4)
    for part in PARTS[1:]:
        held_out = held_out_pairs(s, part)  # type: ignore[arg-type]
        rows = s.query_rows.take(held_out.query_row)
        for query, item in zip(held_out.pair_query, held_out.pair_item, strict=True):
            pair = int(held_out.query[query]), int(held_out.candidate[item])
            if pair not in {known[:2] for known in trained}:
                assert pair[1] not in cells(rows, int(query))[-1]
                num_held_out += 1
    assert num_held_out > 5


def test_the_features_of_a_query_stay_beside_its_history() -> None:
    s = make_history_set(3, timed=False)
    for examples, batch in steps(s, config()):
        ids, histories = cells_of(batch, "query.query_id"), cells_of(batch, KEY)
        for n, example in enumerate(examples):
            own = cells(s.query_rows, int(s.train.query_row[example]))
            assert ids[batch.query[n]] == own[0]
        # A row is a query row with a history, and stands once.
        distinct = {(*ids[row], *histories[row]) for row in range(batch.num_queries)}
        assert len(distinct) == batch.num_queries
        rest = cells_of(batch, KEY)[batch.num_queries :]
        assert not any(rest)


def test_dropped_histories_share_the_plain_row_and_dropped_ids_leave_the_rest() -> None:
    s = make_history_set(50, num_examples=4000)
    pairs = pairs_of(s, s.train)
    settings = config(length=50, drop_history=0.6, drop_query_id=0.3, batch_size=64)
    with_history = with_id = with_both = may_have = total = 0
    for examples, batch in steps(s, settings):
        ids, histories = cells_of(batch, "query.query_id"), cells_of(batch, KEY)
        # No history: at most two rows for each query, with its id and without.
        plain = [row for row in range(batch.num_queries) if not histories[row]]
        assert len(plain) <= 2 * NUM_QUERIES
        for n, example in enumerate(examples):
            allowed = before_by_hand(pairs, pairs[example], 50, timed=True)
            row = int(batch.query[n])
            assert histories[row] in ([], allowed)
            assert ids[row] in ([], cells(s.query_rows, int(s.train.query_row[example]))[0])
            may_have += bool(allowed)
            with_history += bool(histories[row])
            with_id += bool(ids[row])
            with_both += bool(histories[row] and ids[row])
            total += 1
    assert with_history / may_have == pytest.approx(0.4, abs=0.04)
    assert with_id / total == pytest.approx(0.7, abs=0.04)
    # They are dropped independently.
    assert with_both / may_have == pytest.approx(0.28, abs=0.04)


def test_what_is_dropped_follows_from_the_seed_the_step_and_the_rank() -> None:
    s, dropped = make_history_set(3), {"drop_history": 0.5, "drop_query_id": 0.5}

    def build(*, seed: int = 3, step: int = 4, rank: int = 0) -> list[list[int]]:
        builder = BatchBuilder(s, config(seed=seed, **dropped), world_size=2, rank=rank)
        batch = builder.build(np.arange(16), np.ones(16, bool), step=step)
        rows = zip(cells_of(batch, "query.query_id"), cells_of(batch, KEY), strict=True)
        row = [[*one, -1, *other] for one, other in rows]
        return [row[query] for query in batch.query]

    assert build() == build()
    assert build() != build(step=5)
    assert build() != build(rank=1)
    assert build() != build(seed=4)


def test_histories_are_read_back_from_disk(tmp_path: Path) -> None:
    s = make_history_set(3)
    write_training_set(tmp_path, s)
    read = load_training_set(tmp_path)
    assert s.histories is not None
    assert read.histories is not None
    for name, value in vars(s.histories).items():
        assert np.array_equal(getattr(read.histories, name), value)
    ours, again = steps(s, config()), steps(read, config())
    for (_, one), (_, other) in zip(ours, again, strict=True):
        assert one.features.values().equal(other.features.values())
        assert one.features.lengths().equal(other.features.lengths())
        assert one.query.equal(other.query)


def test_an_item_whose_id_is_not_in_the_vocabulary_is_left_out_and_takes_no_place() -> None:
    s = make_history_set(2)
    rows = [cells(s.item_rows, row) for row in range(s.item_rows.num_rows)]
    rows[5][0] = []
    rare = replace(s, item_rows=jagged(rows)).with_histories(2)
    known = [pair for pair in pairs_of(s, s.train) if pair[1] != 5]
    assert len(known) < len(s.train)
    for query in range(NUM_QUERIES):
        assert cells(rare.query_rows, query)[-1] == newest_by_hand(known, query, 2)
    assert rare.histories is not None
    assert 5 not in rare.histories.item


def test_queries_without_training_items_have_an_empty_history() -> None:
    query, item, moment = np.array([1, 1, 1]), np.array([0, 2, 1]), np.array([5, 5, 9])
    histories = Histories.of_pairs(
        query,
        item,
        moment,
        code=np.array([10, 11, 12], np.int32),
        num_queries=3,
        length=5,
        timed=True,
    )
    values, sizes = histories.newest(np.array([2, 1, 0, 1]))
    assert values.tolist() == [11, 10, 12] * 2
    assert sizes.tolist() == [0, 3, 0, 3]
    windows = histories.before(
        np.array([0, 1, 1, 1, 2]), np.array([0, 0, 1, 2, 2]), np.array([9, 5, 9, 10, 3])
    )
    # Nothing is strictly before moment 5, and the last query has no list.
    assert windows.sizes.tolist() == [0, 0, 2, 2, 0]
    assert histories.codes(windows.place).tolist() == [10, 12, 11, 10]
    assert (windows.state >= 0).tolist() == [False, False, True, True, False]


def test_without_a_history_no_random_number_changes() -> None:
    s = make_history_set(3)
    plain = replace(
        s,
        schema=replace(s.schema, query=s.schema.query[:-1]),
        query_rows=jagged([cells(s.query_rows, row)[:-1] for row in range(NUM_QUERIES)]),
        histories=None,
    )
    for (_, one), (_, other) in zip(
        steps(plain, config(length=0, drop_history=0.9, drop_query_id=0.9)),
        steps(plain, config(length=0)),
        strict=True,
    ):
        assert one.features.values().equal(other.features.values())
    # A history is one more feature: the others, all items and the masks stay.
    for (_, one), (_, other) in zip(
        steps(s, config(drop_history=0.5)), steps(plain, config(length=0)), strict=True
    ):
        assert one.mask_draws == other.mask_draws
        for feature in plain.schema.item:
            if feature.key not in other.repeated:
                assert (
                    cells_of(one, feature.key)[: one.num_items + one.num_sampled]
                    == (cells_of(other, feature.key)[: one.num_items + one.num_sampled])
                )
