"""The names of a trained model's tensors: in its state, its checkpoints and its encoder bundle.

It does not import torch, which serving does without.
"""

from collections.abc import Iterable
from typing import get_args

from longtail.features.schema import Side

_SIDES: tuple[Side, ...] = get_args(Side)
_TABLE_PREFIX, _TABLE_SUFFIX = "embedding_bags.embedding_bags.", ".weight"

CHECKPOINT_PREFIX = "model."
"""The prefix of the model's tensors in a checkpoint; the optimizers' have another one."""


def table_tensor(table: str) -> str:
    """Return the name of a table's `[rows, dim]` weights."""
    return f"{_TABLE_PREFIX}{table}{_TABLE_SUFFIX}"


def table_of_tensor(name: str) -> str | None:
    """Return the table that a tensor is the weights of; None for any other tensor."""
    if not name.startswith(_TABLE_PREFIX):
        return None
    return name.removeprefix(_TABLE_PREFIX).removesuffix(_TABLE_SUFFIX)


def projection_tensor(table: str) -> str:
    """Return the name of the `[dim, length]` projection of the dense features of a table."""
    return f"projections.{table}"


def tower_prefix(side: Side) -> str:
    """Return the prefix of a tower's own names: `default`, `input_layer.weight`, and so on."""
    return f"{side}_tower."


def bias_tensors(side: Side) -> tuple[str, str]:
    """Return the names of a bias's tensors: `[1, width]` weight and `[1]` bias.

    Only a model with `model.item_bias: learned` has them, and only for its items.
    """
    prefix = f"{tower_prefix(side)}bias_head."
    return f"{prefix}weight", f"{prefix}bias"


def table_of_state(name: str, tables: Iterable[str]) -> str | None:
    """Return the table that a checkpointed tensor belongs to: its weights, or its optimizer state.

    Args:
        name: such as `model.embedding_bags.embedding_bags.<table>.weight`.
        tables: the tables to look for.
    """
    return next((table for table in tables if f"embedding_bags.{table}." in name), None)


def side_of_inputs(name: str) -> Side | None:
    """Return the side of a checkpointed tensor that has a column for each feature; None for others.

    These tensors are a tower's default embeddings, the weights of its first layer, and their
    optimizer state: each column belongs to one number of one feature's embedding.
    """
    for side in _SIDES:
        prefix = tower_prefix(side)
        if f"{prefix}default" in name or f"{prefix}input_layer.weight" in name:
            return side
    return None
