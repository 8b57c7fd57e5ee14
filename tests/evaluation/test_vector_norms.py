"""The lengths of item vectors before normalisation, against the tower written out in numpy."""

import numpy as np
import pytest
import torch

from longtail.encoder.torch_encoder import Encoder
from longtail.evaluation.vector_norms import encode_with_norms
from longtail.features.encoding import EncodedRows, offsets_of
from tests.evaluation.small_project import DIM, SCHEMA

NUM_VALUES, OUTPUT_DIM = 12, 5


def looped_outputs(encoder: Encoder, tables: dict[str, np.ndarray], cells: list) -> np.ndarray:
    """Return the output of the item tower before normalisation, row by row in float64."""
    state = {
        name: value.double().numpy() for name, value in encoder.item_tower.state_dict().items()
    }
    default = state["default"].reshape(len(SCHEMA.item), DIM)
    outputs = []
    for row in cells:
        pooled = [
            tables[feature.table][values].mean(axis=0) if values else default[position]
            for position, (feature, values) in enumerate(zip(SCHEMA.item, row, strict=True))
        ]
        hidden = state["input_layer.weight"] @ np.concatenate(pooled) + state["input_layer.bias"]
        number = 0
        while f"layers.{number}.weight" in state:
            weight, bias = state[f"layers.{number}.weight"], state[f"layers.{number}.bias"]
            hidden = weight @ np.maximum(hidden, 0.0) + bias
            number += 1
        outputs.append(hidden)
    return np.array(outputs)


@pytest.mark.parametrize("hidden", [[], [16], [16, 7]])
def test_norms_equal_the_tower_by_hand(hidden: list[int]) -> None:
    torch.manual_seed(0)
    tables = {name: torch.randn(NUM_VALUES, DIM) for name in SCHEMA.tables}
    encoder = Encoder(SCHEMA, tables, hidden, OUTPUT_DIM).eval()
    generator = np.random.default_rng(0)
    # More rows than one batch of the encoder, with single values, lists and empty cells.
    cells = [
        [generator.integers(NUM_VALUES, size=generator.integers(3)).tolist() for _ in SCHEMA.item]
        for _ in range(4_100)
    ]
    flat = [values for row in cells for values in row]
    rows = EncodedRows(
        len(SCHEMA.item),
        offsets_of(np.array([len(values) for values in flat])),
        np.concatenate([np.array(values, np.int32) for values in flat]),
    )
    vectors, norms = encode_with_norms(encoder, rows)
    assert vectors.tobytes() == encoder.encode("item", rows).tobytes()
    some = [*range(20), *range(4_080, 4_100)]
    outputs = looped_outputs(
        encoder, {name: t.double().numpy() for name, t in tables.items()}, [cells[r] for r in some]
    )
    expected = np.linalg.norm(outputs, axis=1)
    assert norms.shape == (4_100,)
    assert norms[some] == pytest.approx(expected, rel=1e-5)
    assert vectors[some] == pytest.approx(outputs / expected[:, None], abs=1e-5)


def test_nothing_listens_afterwards() -> None:
    encoder = Encoder(
        SCHEMA, {name: torch.zeros(1, DIM) for name in SCHEMA.tables}, [4], OUTPUT_DIM
    ).eval()
    nothing = EncodedRows(len(SCHEMA.item), np.zeros(1, np.int64), np.empty(0, np.int32))
    vectors, norms = encode_with_norms(encoder, nothing)
    assert vectors.shape == (0, OUTPUT_DIM)
    assert norms.shape == (0,)
    assert not any(layer._forward_hooks for layer in encoder.modules())
