"""The work of each of two gloo ranks in the tests of sharding: it trains, saves and reports."""

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from longtail.config import Config
from longtail.dataset.batch_builder import BatchBuilder
from longtail.training.batch_pipeline import OverlappedSteps, training_steps
from tests.training.small_training import CPU, PREFIX, SmallTraining, small_config

# The kinds of sharding that a CPU has, alone and together. Embeddings are 8 wide.
COLUMNS = {"sharding_types": ["column_wise"], "min_partition": 4}
WHOLE = {"sharding_types": ["data_parallel"]}
SETTINGS: dict[str, dict[str, Any]] = {
    "table_wise": {"optimizer": "adagrad"},
    "column_wise": {"optimizer": "adagrad", "default": COLUMNS},
    "data_parallel": {"optimizer": "adagrad", "default": WHOLE},
    "mixed": {"optimizer": "adagrad", "tables": {"package": COLUMNS, "section": WHOLE}},
    "row_wise_adagrad": {"optimizer": "row_wise_adagrad", "tables": {"section": WHOLE}},
    "fp16": {"optimizer": "adagrad", "tables": {"package": {"data_type": "fp16"}}},
}
NUM_EPOCHS = 2


def settings(home: Path, name: str) -> Config:
    """Return the configuration with the settings of this name."""
    return small_config(home, **SETTINGS[name])


def start_weights(training: SmallTraining) -> dict[str, torch.Tensor]:
    """Return the weights to start from, by table: the same at any number of ranks."""
    generator = torch.Generator().manual_seed(5)
    return {
        table: 0.2 * torch.randn(rows, 8, generator=generator)
        for table, rows in sorted(training.num_rows.items())
    }


def set_tables(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """Put weights into the tables. Each rank fills its own shards."""
    for name, value in model.state_dict().items():
        if not name.startswith(PREFIX):
            continue
        whole = weights[name.removeprefix(PREFIX).removesuffix(".weight")]
        with torch.no_grad():
            if isinstance(value, torch.Tensor) and not hasattr(value, "local_shards"):
                value.copy_(whole)
                continue
            for shard in value.local_shards():
                (row, column), (rows, columns) = (
                    shard.metadata.shard_offsets,
                    shard.metadata.shard_sizes,
                )
                part = whole[row : row + rows, column : column + columns]
                shard.tensor.copy_(part)


def state(training: SmallTraining) -> dict[str, Any]:
    """Return the state of model and optimizer, as a checkpoint holds it."""
    return {"model": training.model.state_dict(), "optim": training.optimizer.state_dict()}


@torch.no_grad()
def evaluated(training: SmallTraining) -> float:
    """Return the loss of one batch, the same at any number of ranks. All ranks call it together."""
    batch = next(BatchBuilder(training.training_set, training.config).epoch(0))
    return float(training.model(batch).total)


def run(rank: int, world_size: int, folder: str) -> None:
    """Train one rank with each setting, and write the losses to `rank-<n>.pt`.

    The trained model is saved and loaded into a fresh one, and both are trained on. A third model
    is trained with overlapped steps.
    """
    os.environ["LOCAL_WORLD_SIZE"] = str(world_size)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    place = Path(folder)
    store = dist.FileStore(str(place / "store"), world_size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
    results: dict[str, Any] = {}
    for name in SETTINGS:
        config = settings(place / "home", name)

        def fresh(config: Config = config) -> SmallTraining:
            return SmallTraining(config, world_size=world_size, rank=rank)

        # Trained, saved, and loaded into a model that knows nothing of it.
        training = fresh()
        set_tables(training.model, start_weights(training))
        losses = training.train(NUM_EPOCHS)
        results[name] = {"losses": losses, "evaluated": evaluated(training)}
        save(state(training), checkpoint_id=place / f"checkpoint-{name}")
        loaded = fresh()
        stored = state(loaded)
        load(stored, checkpoint_id=place / f"checkpoint-{name}")
        loaded.model.load_state_dict(stored["model"])
        loaded.optimizer.load_state_dict(stored["optim"])
        # From the same start once more, with the next batch's indices sent ahead.
        overlapped = fresh()
        set_tables(overlapped.model, start_weights(overlapped))
        steps = training_steps(overlapped.model, overlapped.optimizer, CPU)
        assert isinstance(steps, OverlappedSteps) == (world_size > 1)
        kinds = {
            table: sharding.sharding_type
            for table, sharding in training.model.module.embedding_bags.module_sharding_plan.items()
        }
        results[name] |= {
            "goes on": training.train(1),
            "resumed": loaded.train(1),
            "overlapped": [
                float(terms.total.detach())
                for epoch in range(NUM_EPOCHS)
                for terms in steps(overlapped.builder.epoch(epoch))
            ],
            "kinds": kinds,
        }
    torch.save(results, place / f"rank-{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
