"""The candidates of all ranks, compared with one process that has the whole global batch.

That process knows nothing of ranks. Its batch is as large as theirs together, and so is its sample.
"""

import datetime
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.nn import functional

from longtail.config import Config
from longtail.dataset.batch_builder import BatchBuilder
from longtail.model.two_tower import TwoTower
from longtail.training.sharding.gathered_candidates import candidates_of_all_ranks
from tests.dataset.small_set import make_training_set
from tests.model.test_two_tower import make_config, make_masking, make_model

GLOBAL_BATCH, GLOBAL_SAMPLE = 16, 8
LOSSES = [
    {"logq": "exact", "mixed_negatives": True},
    {"logq": "streaming", "mixed_negatives": True},
    {"logq": "none", "mixed_negatives": False},
    {"logq": "exact", "mixed_negatives": False, "correct_positive": False},
    {"logq": "exact", "mixed_negatives": True, "logq_positive": "certain"},
]
Gradients = dict[str, torch.Tensor]


def config_of(loss: dict[str, object], world_size: int) -> Config:
    """Return the configuration of a rank. Self-supervision is off: each rank contrasts alone."""
    config = make_config(
        self_supervision={"augmentation": "none", "sample_size": GLOBAL_SAMPLE // world_size},
        loss={**loss, "negatives_across_ranks": world_size > 1},
    )
    training = config.training.model_copy(update={"batch_size": GLOBAL_BATCH // world_size})
    return config.model_copy(update={"training": training})


def whole(loss: dict[str, object]) -> list[tuple[float, Gradients]]:
    """Return loss and gradients of each step of an epoch, by one process."""
    config = config_of(loss, 1)
    model = make_model(config, make_masking(config))
    found = []
    for batch in BatchBuilder(make_training_set(), config).epoch(1):
        terms = model(batch)
        found.append((terms.main.item(), gradients_of(model, terms.total)))
    return found


def gradients_of(model: TwoTower, loss: torch.Tensor) -> Gradients:
    """Return the gradient of each parameter, by name."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def assert_equal(
    found: Sequence[tuple[float, Gradients]], wanted: Sequence[tuple[float, Gradients]]
) -> None:
    assert len(found) == len(wanted) == 3
    for (loss, gradients), (wanted_loss, wanted_gradients) in zip(found, wanted, strict=True):
        # A batch holds the figures of its candidates, such as logQ, in float32.
        assert loss == pytest.approx(wanted_loss, rel=1e-6)
        for name, gradient in gradients.items():
            torch.testing.assert_close(
                gradient, wanted_gradients[name], rtol=1e-5, atol=1e-7, msg=lambda m, n=name: n + m
            )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_learn_what_one_process_learns(loss: dict[str, object], world_size: int) -> None:
    """The ranks take turns in this process. In the last step, some have no example that counts."""
    config, masks = config_of(loss, world_size), make_masking(config_of(loss, world_size))
    steps = zip(
        *(
            BatchBuilder(make_training_set(), config, world_size=world_size, rank=rank).epoch(1)
            for rank in range(world_size)
        ),
        strict=True,
    )
    found, numbers = [], set()
    for batches in steps:
        vectors: list[torch.Tensor] = []

        def keep(own: torch.Tensor, num_candidates: int) -> torch.Tensor:
            surplus = num_candidates // world_size - len(own)
            vectors.append(functional.pad(own, (0, 0, 0, surplus)))  # noqa: B023
            return own.new_zeros(num_candidates, own.shape[1])

        # First collect what each rank sends, then compute the losses with what all have sent.
        model = make_model(config, masks, of_all_ranks=keep)
        for batch in batches:
            model(batch)
        model._of_all_ranks = lambda own, count: torch.cat(vectors)  # noqa: B023
        losses = torch.stack([model(batch).total for batch in batches])
        found.append((losses.mean().item(), gradients_of(model, losses.mean())))
        numbers |= {batch.num_candidates for batch in batches}
        assert any(not batch.weight.any() for batch in batches) == (len(found) == 3)
    assert len(numbers) > 1  # ranks differ in how many candidates they have
    assert_equal(found, whole(loss))


@pytest.mark.slow  # each rank imports torchrec
@pytest.mark.parametrize("world_size", [2, 4])
def test_real_ranks_learn_what_one_process_learns(world_size: int, tmp_path: Path) -> None:
    multiprocessing.spawn(_rank, (world_size, str(tmp_path)), nprocs=world_size)
    for number, loss in enumerate(LOSSES):
        assert_equal(torch.load(tmp_path / f"{number}.pt"), whole(loss))


def _rank(rank: int, world_size: int, folder: str) -> None:
    """Compute the losses and gradients of this rank, averaged over ranks."""
    torch.set_num_threads(1)
    store = dist.FileStore(str(Path(folder) / "store"), world_size)
    dist.init_process_group(
        "gloo",
        store=store,
        rank=rank,
        world_size=world_size,
        timeout=datetime.timedelta(seconds=120),
    )
    for number, loss in enumerate(LOSSES):
        config = config_of(loss, world_size)
        model = make_model(config, make_masking(config), of_all_ranks=candidates_of_all_ranks)
        builder = BatchBuilder(make_training_set(), config, world_size=world_size, rank=rank)
        found = []
        for batch in builder.epoch(1):
            terms = model(batch)
            values = {"": terms.main.detach(), **gradients_of(model, terms.total)}
            for value in values.values():
                dist.all_reduce(value.div_(world_size))
            found.append((values.pop("").item(), values))
        if rank == 0:
            torch.save(found, Path(folder) / f"{number}.pt")
    dist.barrier()
    dist.destroy_process_group()
