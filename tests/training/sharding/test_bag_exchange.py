"""The exchange of filled bags between two real ranks, compared with TorchRec's exchange."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.sharding_plan import (
    column_wise,
    construct_module_sharding_plan,
    data_parallel,
    table_wise,
)
from torchrec.distributed.types import ShardingPlan
from torchrec.modules.embedding_configs import EmbeddingBagConfig, PoolingType
from torchrec.modules.embedding_modules import EmbeddingBagCollection
from torchrec.optim.apply_optimizer_in_backward import apply_optimizer_in_backward
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from longtail.training.sharding import bag_exchange
from longtail.training.sharding.bag_exchange import BagsSharder, FilledBags

CPU = torch.device("cpu")
KEYS = {"a": ["a.one", "a.two"], "b": ["b"], "c": ["c"], "d": ["d"]}
DIMS = {"a": 8, "b": 12, "c": 8, "d": 8}
NUM_ROWS = 20
STRIDES = 5, 9  # of the two ranks
PLANS: dict[str, dict[str, Callable[[], Any]]] = {
    "whole": {
        "a": lambda: table_wise(rank=1),
        "b": lambda: table_wise(rank=0),
        "c": lambda: table_wise(rank=0),
        "d": lambda: table_wise(rank=1),
    },
    "on_one_rank": {name: lambda: table_wise(rank=1) for name in DIMS},
    "columns": {
        "a": lambda: column_wise(ranks=[1, 0]),
        "b": lambda: column_wise(ranks=[0, 1, 0]),
        "c": lambda: table_wise(rank=0),
        "d": lambda: data_parallel(),
    },
}


class Tables(torch.nn.Module):
    """The tables of a model, without its towers."""

    def __init__(self) -> None:
        super().__init__()
        self.bags = EmbeddingBagCollection(
            device=torch.device("meta"),
            tables=[
                EmbeddingBagConfig(
                    name=name,
                    embedding_dim=DIMS[name],
                    num_embeddings=NUM_ROWS,
                    feature_names=keys,
                    pooling=PoolingType.SUM,
                )
                for name, keys in KEYS.items()
            ],
        )
        apply_optimizer_in_backward(torch.optim.Adagrad, self.bags.parameters(), {"lr": 0.1})

    def forward(self, features: KeyedJaggedTensor) -> Any:
        return self.bags(features)


def sharded(sharder: EmbeddingBagCollectionSharder, plan: str) -> DistributedModelParallel:
    """Return the tables of a plan, with the same weights each time."""
    tables = Tables()
    module_plan = construct_module_sharding_plan(
        tables.bags,
        per_param_sharding={name: how() for name, how in PLANS[plan].items()},
        sharder=sharder,
        local_size=2,
        world_size=2,
        device_type="cpu",
    )
    torch.manual_seed(3 + dist.get_rank())
    return DistributedModelParallel(
        tables, device=CPU, plan=ShardingPlan({"bags": module_plan}), sharders=[sharder]
    )


def batch(rank: int, number: int) -> KeyedJaggedTensor:
    """Return bags of none to three values, most of them empty. The last key has no values."""
    generator = torch.Generator().manual_seed(100 * number + rank)
    keys = [key for of_table in KEYS.values() for key in of_table]
    lengths = torch.randint(-4, 4, (len(keys), STRIDES[rank]), generator=generator).clamp_min(0)
    lengths[-1] = 0
    values = torch.randint(NUM_ROWS, (int(lengths.sum()),), generator=generator)
    return KeyedJaggedTensor.from_lengths_sync(keys, values, lengths.flatten())


def compare(rank: int, folder: str) -> None:
    """Send the same batches through TorchRec's exchange and through ours, on one of two ranks."""
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    torch.use_deterministic_algorithms(True)
    # Uninitialized memory is filled with NaN, so that a value read from it is noticed.
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    for plan in PLANS:
        theirs, ours = sharded(EmbeddingBagCollectionSharder(), plan), sharded(BagsSharder(), plan)
        exchanges = ours.module.bags._output_dists
        assert sum(isinstance(each, FilledBags) for each in exchanges) == (
            2 if plan == "columns" else 1
        )
        for number in range(3):
            features = batch(rank, number)
            expected, found = theirs(features), ours(features)
            assert found.keys() == expected.keys()
            assert torch.equal(found.values(), expected.values())
            gradient = torch.randn(found.values().shape)
            for pooled in (expected, found):
                (pooled.values() * gradient).sum().backward()
        state = ours.state_dict()
        for name, value in theirs.state_dict().items():
            for mine, other in zip(shards(state[name]), shards(value), strict=True):
                assert torch.isfinite(mine).all()
                assert torch.equal(mine, other), (plan, name)
    count_sent(rank)
    dist.destroy_process_group()


def shards(value: Any) -> list[torch.Tensor]:
    """Return this rank's parts of a table."""
    if isinstance(value, torch.Tensor) and not hasattr(value, "local_shards"):
        return [value]
    return [shard.tensor for shard in value.local_shards()]


def count_sent(rank: int) -> None:
    """Check that vectors are sent for the bags with values, and for no others."""
    ours = sharded(BagsSharder(), "whole")
    exchange = ours.module.bags._output_dists[0]
    routes: list[bag_exchange._Route] = []
    route = exchange._route

    def noted(*given: Any) -> bag_exchange._Route:
        routes.append(route(*given))
        return routes[-1]

    exchange._route = noted
    features = batch(rank, 0)
    ours(features).values()
    filled = features.lengths().view(-1, STRIDES[rank]) > 0
    pieces = {key: DIMS[table] // 4 for table, keys in KEYS.items() for key in keys}
    assert routes[0].width == 4
    assert sum(routes[0].own_by_rank) == sum(
        int(of_key.sum()) * pieces[key] for key, of_key in zip(features.keys(), filled, strict=True)
    )


@pytest.mark.timeout(300)
def test_filled_bags_are_exchanged_bit_by_bit_as_whole_grids_are(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(compare, args=(str(tmp_path),), nprocs=2)
