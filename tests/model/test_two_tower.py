"""The loss of a batch against a reference of loops, and the gradients of every parameter."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchrec import EmbeddingBagCollection
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor, KeyedTensor

from longtail.augmentation.masking_plan import masking_plan
from longtail.augmentation.masks import Masks
from longtail.augmentation.registry import AUGMENTATIONS as REGISTERED
from longtail.config import (
    Config,
    CorrelationConfig,
    LossConfig,
    ModelConfig,
    SelfSupervisionConfig,
    TrainingConfig,
)
from longtail.dataset.batch import Batch
from longtail.dataset.batch_builder import BatchBuilder
from longtail.encoder.torch_encoder import Encoder
from longtail.features.schema import Feature, Schema
from longtail.model.masked_views import encode_items, group_sizes
from longtail.model.two_tower import LossTerms, TwoTower, embedding_tables
from tests.dataset.small_set import NUM_ROWS, SCHEMA, cells, make_training_set
from tests.model.batch_reference import BATCH_SIZE, Reference, Weights, encode
from tests.model.loops import contrast_loss

AUGMENTATIONS = tuple(REGISTERED)
HIDING = tuple(name for name, rule in REGISTERED.items() if rule.hides_features)


@pytest.fixture(autouse=True, params=["rows", "cells"])
def first_layer_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test twice: the first layer sees sections row by row, or each distinct one once."""
    share = {"rows": 0.0, "cells": float("inf")}[request.param]
    monkeypatch.setattr("longtail.dataset.batch_builder._REPEATED_SHARE", share)


class DoubleBags(torch.nn.Module):
    """Unsharded bags that return pooled embeddings in float64."""

    def __init__(self) -> None:
        super().__init__()
        tables = embedding_tables(SCHEMA, NUM_ROWS)
        self.bags = EmbeddingBagCollection(tables=tables, device=torch.device("cpu"))

    def forward(self, features: KeyedJaggedTensor) -> KeyedTensor:
        pooled = self.bags(features)
        return KeyedTensor(pooled.keys(), pooled.length_per_key(), pooled.values().double())


def make_config(
    *,
    self_supervision: dict[str, object] | None = None,
    loss: dict[str, object] | None = None,
) -> Config:
    ssl = {"sample_size": 6, "value_dropout": 0.4, "feature_dropout": 0.3, "weight": 0.7}
    main = {"temperature": 0.2, "logq_strength": 0.6, "streaming_rate": 0.2}
    return Config(
        feature_repo=Path(),
        model=ModelConfig(hidden=(6, 5), output_dim=3),
        loss=LossConfig(**{**main, **(loss or {})}),
        self_supervision=SelfSupervisionConfig(**{**ssl, **(self_supervision or {})}),
        training=TrainingConfig(batch_size=BATCH_SIZE, seed=3),
    )


def make_masking(config: Config, never_mask: Sequence[str] = ()) -> Masks:
    correlations = np.random.default_rng(5).random((4, 4))
    names = [feature.name for feature in SCHEMA.item]
    plan = masking_plan(names, correlations + correlations.T, never_mask)
    return config.self_supervision.augmenter.masks(names, plan)


def make_model(config: Config, masks: Masks, **options: Any) -> TwoTower:
    """Return a model with random parameters, the defaults and biases as well."""
    model = TwoTower(SCHEMA, config, DoubleBags(), masks, **options).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model


def weights_of(model: TwoTower) -> Weights:
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def last_of_an_epoch(
    config: Config, masks: Masks, *, world_size: int = 1, rank: int = 0
) -> tuple[Batch, Reference]:
    """Return the last batch of the second epoch; examples that count for nothing fill it up."""
    training_set = make_training_set()
    builder = BatchBuilder(training_set, config, world_size=world_size, rank=rank)
    last = builder.steps_per_epoch - 1
    (batch,) = builder.epoch(1, first_step=last)
    examples, counts = builder.examples.batch(builder.examples.epoch_order(1), last)
    assert counts.any()
    assert not counts.all()
    reference = Reference(training_set, config, masks, batch, examples, counts, world_size)
    if config.self_supervision.augmentation != "feature_dropout":
        for n, example in enumerate(examples):  # nothing is dropped from what is trained on
            row = cells(training_set.item_rows, int(training_set.train.item_row[example]))
            assert reference.item_rows[int(batch.item[n])] == row
    return batch, reference


def assert_equal(terms: LossTerms, reference: Reference, weights: Weights) -> None:
    # The lookup is float32, and so is what the batch holds; the rest is float64.
    assert terms.main.item() == pytest.approx(reference.main(weights), rel=2e-6)
    wanted = reference.self_supervised(weights)
    assert terms.self_supervised.item() == pytest.approx(wanted, rel=2e-6, abs=1e-9)
    assert terms.total.item() == pytest.approx(reference.total(weights), rel=2e-6)


@pytest.mark.parametrize("logq", ["none", "exact", "streaming"])
@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_the_loss_of_a_batch_equals_the_loops(augmentation: str, mixed: bool, logq: str) -> None:
    config = make_config(
        self_supervision={"augmentation": augmentation},
        loss={"mixed_negatives": mixed, "logq": logq},
    )
    masks = make_masking(config)
    model = make_model(config, masks)
    batch, reference = last_of_an_epoch(config, masks)
    terms = model(batch)
    assert_equal(terms, reference, weights_of(model))
    contrasts = augmentation not in ("none", "feature_dropout")
    assert len(reference.sampled) == (6 if mixed or contrasts else 0)
    assert (terms.self_supervised.item() > 0) == contrasts


@pytest.mark.parametrize(
    "options",
    [
        {"loss": {"correct_positive": False}},
        {"loss": {"logq_positive": "certain"}},
        {"loss": {"logq_positive": "certain", "logq": "streaming", "logq_strength": 1.0}},
        {"loss": {"logq_positive": "certain", "accidental_hits": "known_positives"}},
        {"loss": {"logq_positive": "certain", "unborn_negatives": False}},
        {"loss": {"logq_positive": "certain", "mixed_negatives": False}},
        {"loss": {"cold_negative_weight": 1.0}},
        {"loss": {"cold_negative_weight": 0.3}},
        {"loss": {"cold_negative_weight": 0.0, "logq_strength": 0.0}},
        {"loss": {"temperature": 0.05, "logq_strength": 1.0}},
        {"loss": {"accidental_hits": "own_item"}},
        {"loss": {"accidental_hits": "known_positives", "unborn_negatives": False}},
        {"loss": {"accidental_hits": "known_positives", "unborn_negatives": True}},
        {"loss": {"accidental_hits": "own_item", "unborn_negatives": True}},
        {"loss": {"accidental_hits": "own_item", "unborn_negatives": False}},
        {"self_supervision": {"warmup_steps": 10}},
        {"self_supervision": {"warmup_steps": 6}},
        {"self_supervision": {"warmup_steps": 2, "weight": 3.0, "temperature": 0.05}},
        {"self_supervision": {"value_dropout": 0.0}},
        {"self_supervision": {"value_dropout": 0.0, "augmentation": "independent_masking"}},
        {"self_supervision": {"value_dropout": 0.0, "augmentation": "dropout_only"}},
        {"self_supervision": {"sample_size": 1}},
        {"self_supervision": {"sample_size": 16}},
        {"self_supervision": {"augmentation": "none"}, "loss": {"mixed_negatives": False}},
    ],
)
@pytest.mark.parametrize(("world_size", "rank"), [(1, 0), (2, 0)])
def test_other_settings_equal_the_loops(
    options: dict[str, dict[str, object]], world_size: int, rank: int
) -> None:
    config = make_config(**options)
    masks = make_masking(config)
    model = make_model(config, masks)
    batch, reference = last_of_an_epoch(config, masks, world_size=world_size, rank=rank)
    assert_equal(model(batch), reference, weights_of(model))


@pytest.mark.parametrize("augmentation", HIDING)
def test_features_that_are_never_masked_stay_in_both_views(augmentation: str) -> None:
    config = make_config(self_supervision={"augmentation": augmentation})
    kept = CorrelationConfig(never_mask=("words",))
    config = config.model_copy(update={"correlation": kept})
    masks = make_masking(config, kept.never_mask)
    model = make_model(config, masks)
    batch, reference = last_of_an_epoch(config, masks)
    # Each view has lost words of its own.
    assert [row[3] for row in reference.first_copy] != [row[3] for row in reference.second_copy]
    assert_equal(model(batch), reference, weights_of(model))


@pytest.mark.parametrize("num_masks", [4, 6])
@pytest.mark.parametrize("never_mask", [(), ("section",), ("words",)])
@pytest.mark.parametrize("augmentation", HIDING)
def test_several_masks_equal_the_loops(
    augmentation: str, never_mask: tuple[str, ...], num_masks: int
) -> None:
    """Six sampled items share the masks; words that are never masked make two copies of them."""
    config = make_config(self_supervision={"augmentation": augmentation, "num_masks": num_masks})
    kept = CorrelationConfig(never_mask=never_mask)
    training = config.training.model_copy(update={"seed": 9})  # draws masks that differ
    config = config.model_copy(update={"correlation": kept, "training": training})
    masks = make_masking(config, never_mask)
    model = make_model(config, masks)
    batch, reference = last_of_an_epoch(config, masks)
    assert len(set(reference.mask_of_item())) > 1
    assert_equal(model(batch), reference, weights_of(model))


def test_with_more_masks_than_items_each_item_has_its_own() -> None:
    """The catalogue of eleven gives each of two ranks five items."""
    config = make_config(self_supervision={"num_masks": 6})
    masks = make_masking(config)
    model = make_model(config, masks)
    batch, reference = last_of_an_epoch(config, masks, world_size=2)
    assert batch.num_sampled == 5
    assert reference.mask_of_item() == [masks.mask(draw) for draw in batch.mask_draws[:5]]
    assert_equal(model(batch), reference, weights_of(model))


@pytest.mark.parametrize("value_dropout", [0.0, 0.4])
@pytest.mark.parametrize("augmentation", HIDING)
def test_the_items_of_a_mask_have_the_views_that_it_gives_alone(
    augmentation: str, value_dropout: float
) -> None:
    ssl = {"augmentation": augmentation, "num_masks": 4, "value_dropout": value_dropout}
    config = make_config(self_supervision=ssl)
    masks = make_masking(config)
    model = make_model(config, masks)
    batch, _ = last_of_an_epoch(config, masks)
    _, inputs = model._inputs(model.embedding_bags(batch.features), batch)
    drawn = [masks.mask(draw) for draw in batch.mask_draws]
    found = encode_items(model.item_tower, inputs, batch, drawn)
    for mask, items in zip(drawn, np.array_split(np.arange(6), 4), strict=True):
        alone = encode_items(model.item_tower, inputs, batch, [mask])
        rows = [*items, *(items + 6)]  # the first views, then the second ones
        torch.testing.assert_close(found.views[rows], alone.views[rows], rtol=0, atol=1e-12)
        torch.testing.assert_close(found.unmasked, alone.unmasked, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("num_sampled", "num_masks", "sizes"),
    [(6, 1, [6]), (6, 4, [2, 2, 1, 1]), (3, 5, [1, 1, 1]), (0, 3, [0]), (1024, 8, [128] * 8)],
)
def test_masks_share_the_items_evenly(num_sampled: int, num_masks: int, sizes: list[int]) -> None:
    assert group_sizes(num_sampled, num_masks) == sizes


@pytest.mark.parametrize("augmentation", HIDING)
def test_two_features_that_may_be_masked(augmentation: str) -> None:
    """Two independent masks of one feature each are complementary every other time."""
    config = make_config(self_supervision={"augmentation": augmentation})
    kept = CorrelationConfig(never_mask=("item_id", "words"))
    config = config.model_copy(update={"correlation": kept})
    seen = set()
    for seed in range(8):
        training = config.training.model_copy(update={"seed": seed})
        seeded = config.model_copy(update={"training": training})
        masks = make_masking(seeded, kept.never_mask)
        model = make_model(seeded, masks)
        batch, reference = last_of_an_epoch(seeded, masks)
        assert_equal(model(batch), reference, weights_of(model))
        seen.add(reference.masks[0].is_complementary)
    assert seen == ({True, False} if augmentation == "independent_masking" else {True})


def test_a_rank_without_examples_in_the_last_batch_has_a_finite_loss() -> None:
    config = make_config()
    builder = BatchBuilder(make_training_set(), config, world_size=2, rank=1)
    *_, batch = builder.epoch(0)
    assert not batch.weight.any()
    model = make_model(config, make_masking(config))
    terms = model(batch)
    terms.total.backward()
    assert terms.main.item() == 0.0
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("augmentation", "changes"),
    [
        *((name, {}) for name in AUGMENTATIONS),
        *((name, {"num_masks": 4}) for name in HIDING),
        ("independent_masking", {"num_masks": 4, "value_dropout": 0.0}),
    ],
)
def test_gradients_equal_differences_of_the_loops(
    augmentation: str, changes: dict[str, object]
) -> None:
    """Check the entry of each parameter with the largest gradient, by central differences."""
    ssl = {"augmentation": augmentation, "warmup_steps": 8, **changes}
    config = make_config(self_supervision=ssl)
    masks = make_masking(config)
    model = make_model(config, masks)
    batch, reference = last_of_an_epoch(config, masks)
    model(batch).total.backward()
    weights, step = weights_of(model), 1e-5
    for name, parameter in model.named_parameters():
        gradient = parameter.grad.numpy()
        at = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        middle, around = weights[name][at], []
        for moved in (middle + step, middle - step):
            weights[name][at] = moved
            around.append(reference.total(weights))
        weights[name][at] = middle
        difference = (around[0] - around[1]) / (2 * step)
        assert gradient[at] == pytest.approx(difference, rel=2e-5), name
        assert gradient[at] != 0, name


def test_spreading_out_contrasts_the_items_with_themselves() -> None:
    config = make_config(self_supervision={"augmentation": "spread_out"})
    masks = make_masking(config)
    model = make_model(config, masks)
    batch, reference = last_of_an_epoch(config, masks)
    weights = weights_of(model)
    rows = [cells(make_training_set().item_rows, item) for item in reference.sampled]
    assert rows == reference.first_copy  # whole: no value is dropped
    vectors = [encode(weights, "item", row) for row in rows]
    wanted = contrast_loss(vectors, vectors, config.self_supervision.temperature)
    assert model(batch).self_supervised.item() == pytest.approx(wanted, rel=2e-6)


@pytest.mark.parametrize("augmentation", ["feature_dropout", "correlated_masking"])
def test_what_is_encoded_after_training_has_nothing_dropped(augmentation: str) -> None:
    config = make_config(self_supervision={"augmentation": augmentation})
    model = make_model(config, make_masking(config))
    weights = weights_of(model)
    tables = {
        table: torch.from_numpy(weights[f"embedding_bags.bags.embedding_bags.{table}.weight"])
        for table in NUM_ROWS
    }
    encoder = Encoder(SCHEMA, tables, [6, 5], 3).double()
    encoder.query_tower.load_state_dict(model.query_tower.state_dict())
    encoder.item_tower.load_state_dict(model.item_tower.state_dict())
    training_set = make_training_set()
    for side, rows in (("item", training_set.item_rows), ("query", training_set.query_rows)):
        wanted = [encode(weights, side, cells(rows, row)) for row in range(rows.num_rows)]
        found = encoder.encode(side, rows, batch_size=5)
        np.testing.assert_allclose(found, np.array(wanted), atol=1e-6)


def test_towers_start_alike_where_their_features_share_a_table() -> None:
    config = make_config()
    model = TwoTower(SCHEMA, config, DoubleBags(), make_masking(config))
    query, item = model.query_tower, model.item_tower
    # Query: id 0-3, section 4-6. Item: id 0-3, tags 4-5, section 6-8, words 9-13.
    for of_query, of_item in ((range(4), range(4)), (range(4, 7), range(6, 9))):
        for left, right in zip(of_query, of_item, strict=True):
            assert item.default[right] == query.default[left]
            same = item.input_layer.weight[:, right] == query.input_layer.weight[:, left]
            assert same.all()
    assert torch.equal(item.input_layer.bias, query.input_layer.bias)
    for layer in (0, 1):
        assert torch.equal(item.layers[layer].weight, query.layers[layer].weight)
    # Started alike, not tied: each tower learns for itself.
    assert not {p.data_ptr() for p in query.parameters()} & {
        p.data_ptr() for p in item.parameters()
    }


def test_a_history_corresponds_to_the_item_ids_only_where_no_query_id_does() -> None:
    config = make_config()
    history = Feature("history", "query", "multi", "string", "package", 4, is_history=True)
    query_id = replace(SCHEMA.query[0], table="queries")
    for ids, of_query in ((SCHEMA.query[0], range(4)), (query_id, range(7, 11))):
        schema = Schema((ids, SCHEMA.query[1], history), SCHEMA.item)
        model = TwoTower(schema, config, DoubleBags(), make_masking(config))
        query, item = model.query_tower, model.item_tower
        # Query: id 0-3, section 4-6, history 7-10. Item: id 0-3, section 6-8.
        for left, right in zip((*of_query, 4, 5, 6), (0, 1, 2, 3, 6, 7, 8), strict=True):
            assert item.default[right] == query.default[left]
            same = item.input_layer.weight[:, right] == query.input_layer.weight[:, left]
            assert same.all()


def test_towers_start_apart_where_the_configuration_says_so() -> None:
    config = make_config()
    apart = config.model.model_copy(update={"start_alike": False})
    config = config.model_copy(update={"model": apart})
    model = TwoTower(SCHEMA, config, DoubleBags(), make_masking(config))
    query, item = model.query_tower, model.item_tower
    assert not torch.isin(item.default, query.default).any()
    assert not torch.isin(item.input_layer.weight, query.input_layer.weight).any()
    assert not torch.isin(item.layers[0].weight, query.layers[0].weight).any()


@pytest.mark.parametrize(
    ("augmentation", "num_masks"),
    [*((name, 1) for name in AUGMENTATIONS), *((n, 3) for n in HIDING)],
)
def test_products_of_low_precision_give_nearly_the_same(augmentation: str, num_masks: int) -> None:
    ssl = {"augmentation": augmentation, "num_masks": num_masks}
    config = make_config(self_supervision=ssl)
    masks = make_masking(config)
    batch, _ = last_of_an_epoch(config, masks)
    found = []
    for product_dtype in (None, torch.bfloat16):
        torch.manual_seed(0)
        bags = EmbeddingBagCollection(
            tables=embedding_tables(SCHEMA, NUM_ROWS), device=torch.device("cpu")
        )
        model = TwoTower(SCHEMA, config, bags, masks, product_dtype)
        terms = model(batch)
        terms.total.backward()
        assert terms.total.dtype == torch.float32
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        assert all(g is not None and g.dtype == torch.float32 for g in gradients.values())
        found.append((terms, gradients))
    (exact, gradients), (near, near_gradients) = found
    assert exact.main.item() != near.main.item()
    assert near.total.item() == pytest.approx(exact.total.item(), rel=0.02)
    for name, gradient in gradients.items():
        assert (near_gradients[name] - gradient).norm() < 0.1 * gradient.norm(), name
