"""Tables as the planner places them, and configurations that it refuses with a cure."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from pydantic import ValidationError
from torch.distributed.optim import _apply_optimizer_in_backward as apply_optimizer_in_backward
from torchrec import EmbeddingBagCollection
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation
from torchrec.distributed.planner.types import (
    KernelConfig,
    ParameterConstraints,
    TopologyFactory,
    TrainerConfig,
)

from longtail.artifacts import RunPaths, read_json
from longtail.augmentation.masking_plan import masking_plan
from longtail.config import ShardingConfig
from longtail.dataset.training_set import load_training_set
from longtail.errors import InputError, LongtailError
from longtail.model.two_tower import LossTerms, TwoTower, embedding_tables
from longtail.training.train_in_process import train_in_process
from tests.training.small_training import CPU, DAY, PREFIX, SmallTraining, small_config


def tables_of(model: Any) -> dict[str, torch.Tensor]:
    """Return the weights of each table of a model on one rank."""
    return {
        name.removeprefix(PREFIX).removesuffix(".weight"): value.local_shards()[0].tensor
        for name, value in model.state_dict().items()
        if name.startswith(PREFIX)
    }


@pytest.mark.usefixtures("one_rank")
def test_by_default_one_rank_starts_from_the_same_weights_as_a_plain_table_wise_plan(
    tmp_path: Path,
) -> None:
    config = small_config(tmp_path)
    training = SmallTraining(config)
    schema = training.training_set.schema
    # The same model by TorchRec's own planner and sharder, with no settings of ours.
    tables = embedding_tables(schema, training.num_rows)
    bags = EmbeddingBagCollection(tables=tables, device=torch.device("meta"))
    apply_optimizer_in_backward(torch.optim.Adagrad, bags.parameters(), {"lr": 0.05})
    names = [feature.name for feature in schema.item]
    torch.manual_seed(config.training.seed)
    model = TwoTower(
        schema, config, bags, config.self_supervision.augmenter.masks(names, training.plan)
    )
    planner = EmbeddingShardingPlanner(
        topology=TopologyFactory.create_topology(
            TrainerConfig(world_size=1), kernel_config=KernelConfig(compute_device="cpu")
        ),
        batch_size=84,
        constraints={t.name: ParameterConstraints(sharding_types=["table_wise"]) for t in tables},
        storage_reservation=FixedPercentageStorageReservation(0.15),
        stats=[],
    )
    sharders = [EmbeddingBagCollectionSharder()]
    plan = planner.collective_plan(model, sharders, dist.group.WORLD)
    torch.manual_seed(config.training.seed)
    plain = DistributedModelParallel(model, device=CPU, plan=plan, sharders=sharders)
    expected, made = tables_of(plain), tables_of(training.model)
    assert list(made) == list(expected)
    for name, weights in expected.items():
        assert torch.equal(made[name], weights), name


def test_the_loss_is_found_by_what_averages_gradients() -> None:
    """DDP flattens a model's output. It would not average the gradients of a tensor it misses."""
    parts = [torch.ones(()) for _ in range(3)]
    leaves = torch.utils._pytree.tree_leaves(LossTerms(*parts))
    assert [id(leaf) for leaf in leaves] == [id(part) for part in parts]


@pytest.mark.usefixtures("one_rank")
def test_a_resumed_run_keeps_its_sharding_types(tmp_path: Path) -> None:
    file = tmp_path / "sharding.json"
    config = small_config(tmp_path / "home", default={"sharding_types": ["data_parallel"]})
    SmallTraining(config, plan_file=file)
    written = read_json(file)
    assert written["world_size"] == 1
    assert {entry["name"] for entry in written["tables"]} == {"package", "section", "item_tags"}
    assert {entry["sharding"] for entry in written["tables"]} == {"data_parallel"}
    changed = config.model_copy(update={"sharding": ShardingConfig()})
    resumed = SmallTraining(changed, plan_file=file)
    assert read_json(file) == written
    weights = [v for k, v in resumed.model.state_dict().items() if k.startswith(PREFIX)]
    assert all(type(value) is torch.Tensor for value in weights)  # not sharded


@pytest.mark.usefixtures("one_rank")
def test_tables_on_every_rank_learn_at_the_rate_of_tables(tmp_path: Path) -> None:
    """A plain optimizer updates them, and another one, with a rate of its own, the towers."""
    whole = SmallTraining(small_config(tmp_path, default={"sharding_types": ["data_parallel"]}))
    rates = {
        name: group["lr"]
        for name, optimizer in whole.optimizer.optimizers
        for group in optimizer.param_groups
    }
    assert rates["towers"] == 0.025
    assert rates["replicated_tables"] == 0.05
    state = whole.optimizer.state_dict()["state"]
    assert f"replicated_tables.{PREFIX}package.weight" in state


@pytest.mark.parametrize(
    ("sharding", "message"),
    [
        ({"tables": {"packages": {"data_type": "fp16"}}}, "there are package, section, item_tags"),
        ({"default": {"sharding_types": ["row_wise"]}}, "a CPU does not have"),
        ({"default": {"compute_kernels": ["fused_uvm_caching"]}}, "a CPU does not have"),
    ],
)
@pytest.mark.usefixtures("one_rank")
def test_what_a_cpu_does_not_have_is_refused(
    tmp_path: Path, sharding: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        SmallTraining(small_config(tmp_path, **sharding))


@pytest.mark.usefixtures("one_rank")
def test_tables_that_do_not_fit_are_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    with pytest.raises(LongtailError, match="longtail plan --world-size 1 --device cpu"):
        SmallTraining(small_config(tmp_path, ddr_gb=1e-5))


@pytest.mark.parametrize(
    "sharding",
    [
        {"optimizer": "row_wise_adagrad", "default": {"sharding_types": ["column_wise"]}},
        {
            "optimizer": "row_wise_adagrad",
            "tables": {"package": {"sharding_types": ["table_wise", "table_column_wise"]}},
        },
        {"default": {"data_type": "fp16", "sharding_types": ["data_parallel"]}},
        {
            "default": {"data_type": "fp16"},
            "tables": {"package": {"sharding_types": ["data_parallel"]}},
        },
        {"default": {"sharding_types": ["by_table"]}},
        {"default": {"kernels": ["fused"]}},
    ],
)
def test_settings_that_cannot_work_are_refused(sharding: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ShardingConfig.model_validate(sharding)


def test_a_table_has_its_own_settings_over_the_default_ones() -> None:
    sharding = ShardingConfig.model_validate(
        {
            "optimizer": "adagrad",
            "default": {"data_type": "fp16", "sharding_types": ["table_wise"]},
            "tables": {"package": {"sharding_types": ["column_wise"], "min_partition": 16}},
        }
    )
    package = sharding.of("package")
    assert (package.sharding_types, package.data_type) == (("column_wise",), "fp16")
    assert sharding.of("section").sharding_types == ("table_wise",)
    assert sharding.unsplit.of("package").sharding_types == ("table_wise",)
    assert sharding.unsplit.learned == sharding.learned
    same = ShardingConfig(default=sharding.default)
    assert same.learned["data_type"] == "fp16"


def test_a_study_trains_half_precision_tables_whole(tmp_path: Path) -> None:
    """This process is one rank, so tables that are configured to be split are whole here."""
    columns = {"sharding_types": ["column_wise"], "min_partition": 4}
    vectors = {}
    for data_type in ("fp32", "fp16"):
        default = {**columns, "data_type": data_type}
        config = small_config(tmp_path, optimizer="adagrad", default=default)
        run = RunPaths(config, DAY)
        training_set = load_training_set(run.training_set)
        names = [feature.name for feature in training_set.schema.item]
        encoder = train_in_process(
            training_set,
            config,
            num_rows=read_json(run.vocabularies / "stamp.json")["num_rows"],
            plan=masking_plan(names, np.eye(3)),
            num_epochs=2,
        )
        vectors[data_type] = encoder.encode("item", training_set.item_rows)
    cosine = (vectors["fp32"] * vectors["fp16"]).sum(axis=1)
    assert cosine.min() > 0.999
    assert not np.array_equal(vectors["fp32"], vectors["fp16"])
