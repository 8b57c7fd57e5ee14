"""Two gloo ranks with every kind of sharding that a CPU has, against plain PyTorch in one process.

The plain model has ordinary embedding bags with dense gradients. It learns from the mean loss of
both ranks' batches, as two ranks do when they average their gradients.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import multiprocessing
from torch.distributed.checkpoint.state_dict_loader import load
from torchrec import EmbeddingBagCollection
from torchrec.optim.rowwise_adagrad import RowWiseAdagrad

from longtail.config import Config
from longtail.dataset.batch_builder import BatchBuilder
from longtail.model.two_tower import TwoTower, embedding_tables
from tests.training.ranks import (
    NUM_EPOCHS,
    SETTINGS,
    evaluated,
    run,
    settings,
    start_weights,
    state,
)
from tests.training.small_training import PREFIX, SmallTraining, small_config

pytestmark = [
    pytest.mark.slow,  # each of the two ranks imports torchrec: 10 s on a quiet core
    # From FBGEMM's lookup of tables that every rank holds whole. Their gradients are right, as the
    # tests show.
    pytest.mark.filterwarnings(
        "ignore:fbgemm..dense_embedding_codegen_lookup_function:UserWarning"
    ),
]

KINDS = {
    "table_wise": {"package": "table_wise", "section": "table_wise", "item_tags": "table_wise"},
    "mixed": {"package": "column_wise", "section": "data_parallel", "item_tags": "table_wise"},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Return the folder, and the results of each of two ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    small_config(folder / "home")
    multiprocessing.spawn(run, (2, str(folder)), nprocs=2)
    return folder, [torch.load(folder / f"rank-{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.usefixtures("one_rank")
def test_two_ranks_learn_what_one_plain_model_learns(
    name: str, trained: tuple[Path, list[dict[str, Any]]]
) -> None:
    folder, told = trained
    expected = plain_losses(settings(folder / "home", name), name)
    for rank in range(2):
        # A half-precision table rounds its weights after every step, by up to 2^-11 of a weight.
        tolerance = 5e-3 if name == "fp16" else 1e-5
        assert told[rank][name]["losses"] == pytest.approx(expected[rank], abs=tolerance)
        if name in KINDS:
            assert told[rank][name]["kinds"] == KINDS[name]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_checkpoint_goes_on_where_it_was_made(
    name: str, trained: tuple[Path, list[dict[str, Any]]]
) -> None:
    for told in trained[1]:
        assert told[name]["resumed"] == told[name]["goes on"]


@pytest.mark.parametrize("name", SETTINGS)
def test_ranks_that_exchange_the_next_indices_early_learn_the_same(
    name: str, trained: tuple[Path, list[dict[str, Any]]]
) -> None:
    for told in trained[1]:
        assert told[name]["overlapped"] == told[name]["losses"]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.usefixtures("one_rank")
def test_one_rank_loads_what_two_have_saved(
    name: str, trained: tuple[Path, list[dict[str, Any]]]
) -> None:
    folder, told = trained
    training = SmallTraining(settings(folder / "home", name))
    stored = state(training)
    load(stored, checkpoint_id=folder / f"checkpoint-{name}")
    training.model.load_state_dict(stored["model"])
    training.optimizer.load_state_dict(stored["optim"])
    assert [each[name]["evaluated"] for each in told] == pytest.approx(
        [evaluated(training)] * 2, abs=1e-5
    )
    assert evaluated(SmallTraining(training.config)) != pytest.approx(evaluated(training), abs=0.01)


def plain_losses(config: Config, name: str) -> list[list[float]]:
    """Return each rank's losses, by a model without TorchRec's distribution and without FBGEMM."""
    sharded = SmallTraining(config)
    schema = sharded.training_set.schema
    bags = EmbeddingBagCollection(tables=embedding_tables(schema, sharded.num_rows))
    masks = config.self_supervision.augmenter.masks([f.name for f in schema.item], sharded.plan)
    torch.manual_seed(config.training.seed)
    model = TwoTower(schema, config, bags, masks)
    with torch.no_grad():
        for key, weights in start_weights(sharded).items():
            bags.embedding_bags[key].weight.copy_(weights)
    # `eps` is added to the root of the sums. FBGEMM uses 1e-8, torch's Adagrad 1e-10.
    optimizers = [torch.optim.Adagrad(towers(model), lr=config.training.tower_learning_rate)]
    make: Callable[..., torch.optim.Optimizer] = torch.optim.Adagrad
    if name == "row_wise_adagrad":
        make = RowWiseAdagrad
    optimizers.append(make(bags.parameters(), lr=config.training.table_learning_rate, eps=1e-8))
    builders = [
        BatchBuilder(sharded.training_set, config, world_size=2, rank=rank) for rank in range(2)
    ]
    losses: list[list[float]] = [[], []]
    for epoch in range(NUM_EPOCHS):
        for batches in zip(*(builder.epoch(epoch) for builder in builders), strict=True):
            totals = [model(batch).total for batch in batches]
            for optimizer in optimizers:
                optimizer.zero_grad()
            (sum(totals) / 2).backward()
            for optimizer in optimizers:
                optimizer.step()
            for told, total in zip(losses, totals, strict=True):
                told.append(float(total.detach()))
    return losses


def towers(model: TwoTower) -> list[torch.nn.Parameter]:
    """Return the parameters that are not tables."""
    return [value for key, value in model.named_parameters() if not key.startswith(PREFIX)]
