"""Warm starts from real checkpoints: a row's weights and optimizer state go with its value."""

from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pytest
import torch
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.distributed.checkpoint._nested_dict import flatten_state_dict

from longtail.artifacts import write_json
from longtail.config import Config, HistoryConfig, ShardingConfig, TableShardingConfig
from longtail.features.vocabulary import load_vocabularies
from longtail.training.checkpoint_files import checkpoints, newest_checkpoint, read_tensors
from longtail.training.warm_start import warm_start
from tests.evaluation.small_project import make_day
from tests.training.small_run import Run
from tests.training.small_training import DAY

LATER = date(2023, 6, 11)
GONE, FREE = (3, 11), 7
TABLE = "package"


def local_rows(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the table's weights, and its optimizer state that has a row a value, by name."""
    flat, _ = flatten_state_dict(state)
    found = {}
    for name, value in flat.items():
        if f"embedding_bags.{TABLE}." not in name or not isinstance(value, torch.Tensor):
            continue
        if len(value.size()):
            whole = value.local_shards()[0].tensor if isinstance(value, ShardedTensor) else value
            found[name] = whole.detach().clone()
    return found


# FBGEMM registers the gradient of this lookup in an old way, of which torch warns.
@pytest.mark.filterwarnings("ignore:fbgemm.*an autograd kernel was not registered:UserWarning")
@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize(
    ("optimizer", "sharding_type", "num_states"),
    [
        ("adagrad", "table_wise", 1),
        ("row_wise_adagrad", "table_wise", 1),
        ("adagrad", "data_parallel", 1),
    ],
)
def test_a_freed_row_starts_afresh(
    config: Config, optimizer: Any, sharding_type: Any, num_states: int
) -> None:
    default = TableShardingConfig(sharding_types=(sharding_type,))
    sharding = ShardingConfig(optimizer=optimizer, default=default)
    config = config.model_copy(update={"sharding": sharding})
    parent = Run(config, "20230610-00000001")
    parent.train(2)
    make_day(config, LATER, 40)  # the same packages: all keep their rows
    child = Run(config, "20230611-00000001", LATER)
    vocabularies = load_vocabularies(child.paths.vocabularies)
    values = vocabularies[TABLE].values.to_pylist()
    assert values == load_vocabularies(parent.paths.vocabularies)[TABLE].values.to_pylist()
    for row in GONE:
        values[row] = f"new-{row}"
    values[FREE] = None
    vocabularies[TABLE] = replace(vocabularies[TABLE], values=pa.array(values))

    state = child.checkpointer.state()
    fresh = local_rows(state)
    warm_start(state, parent.paths, vocabularies, child.training_set.schema)
    child.model.load_state_dict(state["model"])
    child.optimizer.load_state_dict(state["optim"])
    warm = local_rows(child.checkpointer.state())
    stored = read_tensors(newest_checkpoint(parent.paths.checkpoints), list(warm))
    (weight,) = (name for name in warm if name.startswith("model."))
    assert len(warm) == 1 + num_states
    kept = torch.tensor([row not in (*GONE, FREE) for row in range(40)])
    for name, rows in warm.items():
        assert torch.equal(rows[kept], stored[name][kept]), name
        assert torch.equal(rows[~kept], fresh[name][~kept]), name
        assert stored[name][~kept].any(), name  # there was something to inherit
        if name != weight:
            assert not rows[~kept].any(), name
            assert rows.dim() == (2 if optimizer == "adagrad" else 1)
    assert child.train(1)["num_steps"] > 0


@pytest.mark.filterwarnings("ignore:fbgemm.*an autograd kernel was not registered:UserWarning")
@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("before", ["adagrad", "row_wise_adagrad"])
def test_what_one_adagrad_has_learned_the_other_goes_on_with(config: Config, before: Any) -> None:
    after: Any = "row_wise_adagrad" if before == "adagrad" else "adagrad"
    earlier = config.model_copy(update={"sharding": ShardingConfig(optimizer=before)})
    later = config.model_copy(update={"sharding": ShardingConfig(optimizer=after)})
    parent = Run(earlier, "20230610-00000001")
    parent.train(2)
    make_day(later, LATER, 40)
    child = Run(later, "20230611-00000001", LATER)
    state = child.checkpointer.state()
    vocabularies = load_vocabularies(child.paths.vocabularies)
    warm_start(state, parent.paths, vocabularies, child.training_set.schema)
    warm = local_rows(state)
    stored = read_tensors(newest_checkpoint(parent.paths.checkpoints), list(warm))
    (sums,) = (name for name in warm if not name.startswith("model."))
    assert stored[sums].count_nonzero()
    whole = before == "adagrad"
    expected = stored[sums].mean(dim=1) if whole else stored[sums][:, None].expand(warm[sums].shape)
    assert warm[sums].shape == expected.shape
    assert torch.equal(warm[sums], expected)


@pytest.mark.usefixtures("one_rank")
def test_a_feature_keeps_what_a_tower_makes_of_it_wherever_it_stands(config: Config) -> None:
    """The earlier version had the item's features in another order, and one of them less."""
    parent = Run(config, "20230610-00000001")
    parent.train(1)
    child = Run(config, "20230611-00000001")
    item_id, section, tags = child.training_set.schema.item
    dim = item_id.dim
    document = child.training_set.schema.to_json()
    renamed = {**document["item"][1], "name": "something_else"}
    document["item"] = [renamed, document["item"][2], document["item"][0]]
    write_json(parent.paths.schema, document)
    assert [f.name for f in (item_id, section, tags)] == ["item_id", "section", "tags"]

    state = child.checkpointer.state()
    flat, _ = flatten_state_dict(state)
    names = [
        name
        for name, value in flat.items()
        if ("item_tower.default" in name or "item_tower.input_layer.weight" in name)
        and isinstance(value, torch.Tensor)
        and value.dim()
    ]
    assert len(names) == 4  # each with its sum of squares
    fresh = {name: flat[name].detach().clone() for name in names}
    vocabularies = load_vocabularies(child.paths.vocabularies)
    warm_start(state, parent.paths, vocabularies, child.training_set.schema)
    stored = read_tensors(newest_checkpoint(parent.paths.checkpoints), names)
    for name in names:
        warm = flat[name].detach()
        assert torch.equal(warm[..., :dim], stored[name][..., 2 * dim :])
        assert torch.equal(warm[..., dim : 2 * dim], fresh[name][..., dim : 2 * dim])
        assert torch.equal(warm[..., 2 * dim :], stored[name][..., dim : 2 * dim])


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("switched", ["on", "off"])
def test_a_history_may_be_switched_on_and_off(config: Config, switched: str) -> None:
    with_history = config.model_copy(update={"history": HistoryConfig(length=5)})
    make_day(with_history, LATER, 40)  # the same packages: all keep their rows
    sides = [(config, DAY), (with_history, LATER)]
    (before, first), (after, second) = sides if switched == "on" else sides[::-1]
    parent = Run(before, "20230610-00000001", first)
    parent.train(1)
    child = Run(after, "20230611-00000001", second)
    state = child.checkpointer.state()
    name = "model.query_tower.input_layer.weight"
    flat, _ = flatten_state_dict(state)
    fresh = flat[name].detach().clone()
    vocabularies = load_vocabularies(child.paths.vocabularies)
    warm_start(state, parent.paths, vocabularies, child.training_set.schema)
    stored = read_tensors(newest_checkpoint(parent.paths.checkpoints), [name])[name]
    warm = flat[name].detach()
    common = 2 * child.training_set.schema.query[0].dim
    assert {warm.shape[1], stored.shape[1]} == {common, common * 3 // 2}
    assert torch.equal(warm[:, :common], stored[:, :common])
    assert torch.equal(warm[:, common:], fresh[:, common:])
    # It trains, too: with the rows of items that the histories share.
    child.train(1)


@pytest.mark.usefixtures("one_rank")
def test_it_starts_from_the_checkpoint_that_became_the_model(config: Config) -> None:
    parent = Run(config, "20230610-00000001")
    parent.train(3)
    steps = checkpoints(parent.paths.checkpoints)
    make_day(config, LATER, 40)  # the same packages: all keep their rows
    name = f"model.embedding_bags.embedding_bags.{TABLE}.weight"
    # After early stopping the model is older than the newest checkpoint. Others do not say.
    for result, step in (({"model_steps": steps[:2]}, steps[1]), ({"parent": None}, steps[-1])):
        write_json(parent.paths.training, result)
        child = Run(config, "20230611-00000001", LATER)
        state = child.checkpointer.state()
        vocabularies = load_vocabularies(child.paths.vocabularies)
        warm_start(state, parent.paths, vocabularies, child.training_set.schema)
        stored = read_tensors(parent.paths.checkpoints / f"step-{step}", [name])[name]
        assert torch.equal(local_rows(state["model"])[name.removeprefix("model.")], stored)
    assert len(set(steps[-1:] + steps[1:2])) == 2
