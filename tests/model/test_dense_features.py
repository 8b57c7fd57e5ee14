"""Dense features in the batch, the towers, the loss and the encoders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torchrec import EmbeddingBagCollection
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor, KeyedTensor

from longtail.artifacts import write_json
from longtail.augmentation.masking_plan import MaskingPlan, masking_plan
from longtail.augmentation.masks import Mask
from longtail.config import Config, ModelConfig, SelfSupervisionConfig, TrainingConfig
from longtail.dataset.batch import Batch
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.training_set import TrainingSet, load_training_set, write_training_set
from longtail.encoder.numpy_towers import load_numpy_towers
from longtail.encoder.torch_encoder import load_encoder
from longtail.features.schema import Schema
from longtail.model.repeated_features import Inputs, by_row
from longtail.model.towers import Tower
from longtail.model.two_tower import TwoTower, embedding_tables
from tests.dataset.dense_set import DENSE_SCHEMA, LENGTH, make_dense_set
from tests.dataset.small_set import NUM_ROWS, cells


class DoubleBags(torch.nn.Module):
    """Unsharded bags that return pooled embeddings in float64."""

    def __init__(self) -> None:
        super().__init__()
        tables = embedding_tables(DENSE_SCHEMA, NUM_ROWS)
        self.bags = EmbeddingBagCollection(tables=tables, device=torch.device("cpu"))

    def forward(self, features: KeyedJaggedTensor) -> KeyedTensor:
        pooled = self.bags(features)
        return KeyedTensor(pooled.keys(), pooled.length_per_key(), pooled.values().double())


def make_config(augmentation: str = "correlated_masking") -> Config:
    return Config(
        feature_repo=Path(),
        model=ModelConfig(hidden=(6, 5), output_dim=3),
        self_supervision=SelfSupervisionConfig(
            augmentation=augmentation,  # type: ignore[arg-type]
            sample_size=6,
            value_dropout=0.4,
            feature_dropout=0.3,
            weight=0.7,
        ),
        training=TrainingConfig(batch_size=16, seed=3),
    )


def make_model(config: Config) -> TwoTower:
    names = [feature.name for feature in DENSE_SCHEMA.item]
    likeness = np.random.default_rng(5).random((len(names), len(names)))
    plan = masking_plan(names, likeness + likeness.T)
    masks = config.self_supervision.augmenter.masks(names, plan)
    model = TwoTower(DENSE_SCHEMA, config, DoubleBags(), masks).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model


def make_batch(training_set: TrainingSet, config: Config, step: int) -> Batch:
    builder = BatchBuilder(training_set, config)
    positions, counts = builder.examples.batch(builder.examples.epoch_order(0), step)
    return builder.build(positions, counts, step=step)


def test_a_batch_has_the_vectors_of_its_rows() -> None:
    training_set, config = make_dense_set(), make_config("none")
    batch = make_batch(training_set, config, 0)
    assert batch.features.keys() == [f.key for f in DENSE_SCHEMA.features if not f.is_dense]
    assert set(batch.dense) == {"query.text", "item.text", "item.price"}
    for side, num_rows in (("query", batch.num_queries), ("item", batch.num_items)):
        rows = training_set.query_rows if side == "query" else training_set.item_rows
        examples = training_set.train.query_row if side == "query" else training_set.train.item_row
        builder = BatchBuilder(training_set, config)
        positions, _ = builder.examples.batch(builder.examples.epoch_order(0), 0)
        own = np.unique(examples[positions])
        assert len(own) == num_rows
        for position, feature in enumerate(DENSE_SCHEMA.side(side)):  # type: ignore[arg-type]
            if not feature.is_dense:
                continue
            column = batch.dense[feature.key]
            for place, row in enumerate(own):
                cell = cells(rows, row)[position]
                assert bool(column.missing[place]) == (not cell)
                expected = rows.vectors[position][cell[0]] if cell else np.zeros(feature.length)
                assert column.values[place].tolist() == expected.tolist()
    beyond = batch.num_items + batch.num_sampled
    assert batch.dense["item.text"].missing[beyond:].all()


@pytest.mark.parametrize(
    "augmentation", ["correlated_masking", "random_masking", "independent_masking", "dropout_only"]
)
def test_three_views_are_three_passes(augmentation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare the shortcut with a tower that runs view by view: losses and every gradient."""
    training_set, config = make_dense_set(), make_config(augmentation)
    shortcuts = 0

    def three_passes(
        self: Tower,
        pooled: Inputs,
        missing: torch.Tensor,
        masks: Sequence[Mask],
        sizes: Sequence[int],
        *,
        masked: slice,
        unmasked: slice,
    ) -> list[torch.Tensor]:
        nonlocal shortcuts
        shortcuts += 1
        (mask,) = masks
        assert sum(sizes) == len(missing)
        views = ((masked, mask.first), (masked, mask.second), (unmasked, None))
        features, absent = by_row(pooled, missing)
        return [
            self.first([values[rows] for values in features], absent[rows], hidden=hidden)
            for rows, hidden in views
        ]

    for step in range(2):
        batch = make_batch(training_set, config, step)
        fast, slow = make_model(config), make_model(config)
        terms = fast(batch)
        terms.total.backward()
        with monkeypatch.context() as context:
            context.setattr(Tower, "first_of_views", three_passes)
            reference = slow(batch)
            reference.total.backward()
        for one, other in zip(terms, reference, strict=True):
            assert one.item() == pytest.approx(other.item(), rel=1e-12)
        for (name, one), other in zip(fast.named_parameters(), slow.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-12, msg=name)
    complementary = augmentation in ("correlated_masking", "random_masking")
    assert shortcuts == (2 if complementary else 0)


def test_a_hidden_dense_feature_tells_nothing_and_a_shown_one_does() -> None:
    model = make_model(make_config())
    pooled = [torch.randn(5, f.dim, dtype=torch.double) for f in DENSE_SCHEMA.item]
    missing = torch.zeros(5, len(pooled), dtype=torch.double)
    other = [values.clone() for values in pooled]
    other[1] += 1.0  # the text
    for hidden, same in (([n == 1 for n in range(len(pooled))], True), (None, False)):
        one = model.item_tower.first(pooled, missing, hidden=hidden)
        two = model.item_tower.first(other, missing, hidden=hidden)
        assert torch.equal(one, two) == same


def test_the_gradient_reaches_the_shared_projection() -> None:
    """Compare with central differences of the whole loss, number by number."""
    training_set, config = make_dense_set(), make_config()
    batch, model = make_batch(training_set, config, 0), make_model(config)
    model(batch).total.backward()
    weight = model.projections["text"]
    assert weight.shape == (4, LENGTH)
    assert weight.grad is not None
    step = 1e-6
    for row, column in [(0, 0), (1, 5), (3, 6)]:
        losses = []
        for change in (step, -step):
            with torch.no_grad():
                weight[row, column] += change
                losses.append(model(batch).total.item())
                weight[row, column] -= change
        slope = (losses[0] - losses[1]) / (2 * step)
        assert weight.grad[row, column].item() == pytest.approx(slope, rel=1e-4, abs=1e-9)
        assert abs(slope) > 1e-7


def test_without_dense_features_a_model_has_no_projection() -> None:
    plain = Schema(DENSE_SCHEMA.query[:2], tuple(f for f in DENSE_SCHEMA.item if not f.is_dense))
    augmenter = make_config("none").self_supervision.augmenter
    masks = augmenter.masks([f.name for f in plain.item], MaskingPlan({}, {}))
    model = TwoTower(plain, make_config("none"), torch.nn.Identity(), masks)
    assert not [name for name in model.state_dict() if name.startswith("projections")]


def test_both_encoders_give_what_matrices_give(tmp_path: Path) -> None:
    """Compare the torch encoder and the NumPy one with one row at a time, from a written bundle."""
    training_set, model = make_dense_set(), make_model(make_config("none"))
    weights = {
        name.replace("embedding_bags.bags.", "embedding_bags."): value.float().contiguous()
        for name, value in model.state_dict().items()
    }
    safetensors.torch.save_file(weights, tmp_path / "encoder.safetensors")
    write_json(tmp_path / "schema.json", DENSE_SCHEMA.to_json())
    write_json(tmp_path / "config.json", {"model": {"hidden": [6, 5], "output_dim": 3}})
    write_training_set(tmp_path / "set", training_set)
    mapped = load_training_set(tmp_path / "set")
    arrays = {name: value.double().numpy() for name, value in weights.items()}
    torch_encoder, numpy_encoder = load_encoder(tmp_path), load_numpy_towers(tmp_path)
    for side, rows in (("query", mapped.query_rows), ("item", mapped.item_rows)):
        expected = np.stack([by_hand(arrays, side, rows, row) for row in range(rows.num_rows)])
        for encoder in (torch_encoder, numpy_encoder):
            found = encoder.encode(side, rows, batch_size=5)  # type: ignore[arg-type]
            np.testing.assert_allclose(found, expected, atol=2e-6)
        position = 2 if side == "query" else 1
        vectors = rows.vectors[position]
        assert not vectors.flags.owndata
        assert not vectors.flags.writeable


def by_hand(arrays: dict[str, np.ndarray], side: str, rows: object, row: int) -> np.ndarray:
    """Return the vector of one row."""
    parts, start = [], 0
    features = DENSE_SCHEMA.side(side)  # type: ignore[arg-type]
    for position, (cell, feature) in enumerate(zip(cells(rows, row), features, strict=True)):  # type: ignore[arg-type]
        part = arrays[f"{side}_tower.default"][start : start + feature.dim]
        if cell and feature.is_dense:
            part = arrays[f"projections.{feature.table}"] @ rows.vectors[position][cell[0]]  # type: ignore[attr-defined]
        elif cell:
            table = arrays[f"embedding_bags.embedding_bags.{feature.table}.weight"]
            part = sum(table[value] for value in cell) / len(cell)
        parts.append(part)
        start += feature.dim
    hidden = np.concatenate(parts)
    for name in ("input_layer", "layers.0", "layers.1"):
        hidden = np.maximum(hidden, 0) if name != "input_layer" else hidden
        weight, bias = (arrays[f"{side}_tower.{name}.{kind}"] for kind in ("weight", "bias"))
        hidden = weight @ hidden + bias
    vector: np.ndarray = hidden / np.linalg.norm(hidden)
    return vector
