"""A set of random pairs: nothing can be learned from it but a target in its own history."""

from collections.abc import Iterator
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch
from torchrec import EmbeddingBagCollection

from longtail.augmentation.masking_plan import masking_plan
from longtail.config import (
    Config,
    HistoryConfig,
    LossConfig,
    ModelConfig,
    SelfSupervisionConfig,
    TrainingConfig,
)
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.histories import Histories, Windows
from longtail.dataset.training_set import Examples, TrainingSet
from longtail.encoder.torch_encoder import Encoder, encoder_of
from longtail.evaluation.encoder_ranks import encode_and_rank
from longtail.evaluation.held_out import held_out_pairs
from longtail.features.encoding import EncodedRows
from longtail.features.history_feature import with_history
from longtail.features.schema import Feature, Schema
from longtail.model.two_tower import TwoTower, embedding_tables

IntArray = npt.NDArray[np.integer]
honest = Histories.before

NUM_PAIRS, NUM_QUERIES, NUM_ITEMS, DIM = 20_000, 4_000, 400, 16
LENGTH, BATCH_SIZE, NUM_EPOCHS = 10, 500, 3
SCHEMA = with_history(
    Schema(
        query=(Feature("query_id", "query", "single", "string", "query_ids", DIM, is_id=True),),
        item=(Feature("item_id", "item", "single", "string", "item_ids", DIM, is_id=True),),
    ),
    HistoryConfig(length=LENGTH),
)
CHANCE = 20 / NUM_ITEMS
NUM_ROWS = {"query_ids": NUM_QUERIES, "item_ids": NUM_ITEMS}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Train on one thread: of such small matrices the threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def config() -> Config:
    # Without its id, a query is nothing but its history.
    return Config(
        feature_repo=Path(),
        history=HistoryConfig(length=LENGTH, drop_history=0.0, drop_query_id=0.999),
        model=ModelConfig(hidden=(32,), output_dim=DIM),
        loss=LossConfig(temperature=0.2, logq="none", mixed_negatives=False),
        self_supervision=SelfSupervisionConfig(augmentation="none"),
        training=TrainingConfig(batch_size=BATCH_SIZE),
    )


def random_pairs(*, timed: bool) -> TrainingSet:
    """Return a training set of pairs that are drawn evenly, a tenth of them held out."""
    generator = np.random.default_rng(0)
    pair = generator.choice(NUM_QUERIES * NUM_ITEMS, NUM_PAIRS, replace=False)
    columns = (
        (pair // NUM_ITEMS).astype(np.int32),
        (pair % NUM_ITEMS).astype(np.int32),
        np.ones(NUM_PAIRS, np.float32),
        generator.permutation(NUM_PAIRS) if timed else np.zeros(NUM_PAIRS, np.int64),
    )
    held_out = np.arange(NUM_PAIRS) % 10 == 0
    train = Examples(*(column[~held_out] for column in columns))
    test = Examples(*(column[held_out] for column in columns))

    def ids(number: int) -> EncodedRows:
        return EncodedRows(1, np.arange(number + 1), np.arange(number, dtype=np.int32))

    whole = TrainingSet(
        schema=SCHEMA,
        item_rows=ids(NUM_ITEMS),
        query_rows=ids(NUM_QUERIES),
        item_ids=pa.array([f"i{number:03}" for number in range(NUM_ITEMS)]),
        catalogue_row=np.arange(NUM_ITEMS, dtype=np.int32),
        item_of_row=np.arange(NUM_ITEMS, dtype=np.int32),
        first_seen=np.zeros(NUM_ITEMS, np.int64),
        train_count=np.bincount(train.item_row, minlength=NUM_ITEMS),
        query_ids=pa.array([f"q{number:04}" for number in range(NUM_QUERIES)]),
        latest_query_row=np.arange(NUM_QUERIES, dtype=np.int32),
        query_of_row=np.arange(NUM_QUERIES, dtype=np.int32),
        train=train,
        validation=test,
        test=test,
    )
    return whole.with_histories(LENGTH)


def trained(s: TrainingSet) -> tuple[float, Encoder]:
    """Train on a set. Return the mean loss of the last epoch, and the encoder."""
    torch.manual_seed(0)
    settings = config()
    bags = EmbeddingBagCollection(
        tables=embedding_tables(SCHEMA, NUM_ROWS), device=torch.device("cpu")
    )
    names = [feature.name for feature in SCHEMA.item]
    masks = settings.self_supervision.augmenter.masks(names, masking_plan(names, np.eye(1)))
    model = TwoTower(SCHEMA, settings, bags, masks)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    builder = BatchBuilder(s, settings)
    losses: list[float] = []
    for epoch in range(NUM_EPOCHS):
        for batch in builder.epoch(epoch):
            optimizer.zero_grad()
            loss = model(batch).total
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    tensors = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    return (
        float(np.mean(losses[-builder.steps_per_epoch :])),
        encoder_of(SCHEMA, tensors, [*settings.model.hidden], settings.model.output_dim),
    )


def recall_at_20(encoder: Encoder, s: TrainingSet) -> float:
    held_out = held_out_pairs(s, "test")
    ranks = encode_and_rank(encoder, s, held_out, query_batch_size=1000)
    return float(np.mean(ranks < 20))


def with_its_own_item(
    self: Histories, query: IntArray, _item: IntArray, moment: IntArray
) -> Windows:
    """Stand for `Histories.before`, and leave an example's own item in its history."""
    return honest(replace(self, timed=False), query, np.full(len(query), -1), moment)


def with_test_part(s: TrainingSet) -> TrainingSet:
    """Return a set with rows of queries that have the held-out pairs in their histories."""
    columns = zip(vars(s.train).values(), vars(s.test).values(), strict=True)
    everything = replace(s, train=Examples(*map(np.concatenate, columns)))
    return replace(s, query_rows=everything.with_histories(LENGTH).query_rows)


@pytest.mark.parametrize("timed", [True, False])
def test_nothing_is_learned_from_random_pairs(timed: bool) -> None:
    s = random_pairs(timed=timed)
    loss, encoder = trained(s)
    # Nobody does better than to give all candidates one score.
    assert loss > log(BATCH_SIZE) - 0.1
    assert recall_at_20(encoder, s) < CHANCE + 0.015


def test_a_target_in_its_own_history_would_be_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show that the test above would notice: the same model, with the target put back."""
    monkeypatch.setattr(Histories, "before", with_its_own_item)
    s = random_pairs(timed=True)
    loss, encoder = trained(s)
    assert loss < log(BATCH_SIZE) - 0.5
    assert recall_at_20(encoder, s) < CHANCE + 0.015
    # Nor would evaluation be honest, if it saw held-out pairs.
    assert recall_at_20(encoder, with_test_part(s)) > 3 * CHANCE
