"""Training on one rank: the encoder equals the sharded model, runs repeat and resume exactly."""

import shutil
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from longtail.config import Config
from longtail.encoder.torch_encoder import load_encoder
from longtail.errors import LongtailError
from longtail.features.vocabulary import Vocabulary, load_vocabularies
from longtail.model.repeated_features import by_row
from longtail.training.checkpoint_files import checkpoints, newest_checkpoint, read_tensors
from longtail.training.encoder_bundle import write_encoder
from longtail.training.loop import prefetched
from longtail.training.warm_start import old_row_of_new, warm_start
from tests.evaluation.small_project import make_day
from tests.training.small_run import Run


@pytest.mark.usefixtures("one_rank")
def test_the_encoder_gives_what_the_sharded_model_gives(config: Config) -> None:
    exact = config.compute.model_copy(update={"products": "float32"})
    run = Run(config.model_copy(update={"compute": exact}), "20230610-00000001")
    run.train(1)
    write_encoder(run.paths, run.config)
    encoder = load_encoder(run.paths.folder)
    batch = run.builder.build(np.arange(30), np.ones(30, bool), step=0)
    model = run.model.module
    with torch.no_grad():
        pooled = model.embedding_bags(batch.features).wait()
        (features, missing), _ = model._inputs(pooled, batch)
        sharded = model.query_tower(*by_row(features, missing))[: batch.num_queries]
    rows = np.unique(run.training_set.train.query_row[:30])
    plain = encoder.encode("query", run.training_set.query_rows.take(rows), batch_size=7)
    np.testing.assert_allclose(plain, sharded.numpy(), atol=1e-6)


@pytest.mark.usefixtures("one_rank")
def test_training_learns_and_repeats_exactly(config: Config) -> None:
    first, second = Run(config, "20230610-00000001"), Run(config, "20230610-00000002")
    result = first.train(12)
    second.train(12)
    assert first.losses() == second.losses()
    assert result["num_steps"] == len(first.losses()) == 12 * first.builder.steps_per_epoch
    assert np.mean(first.losses()[-3:]) < 0.9 * np.mean(first.losses()[:3])


@pytest.mark.usefixtures("one_rank")
def test_a_resumed_run_equals_an_uninterrupted_one(config: Config) -> None:
    whole = Run(config, "20230610-00000001")
    whole.train(2)
    last = max(checkpoints(whole.paths.checkpoints))

    stopped = Run(config, "20230610-00000002")
    shutil.copytree(
        whole.paths.checkpoints / "step-3", stopped.paths.checkpoints / "step-3"
    )  # as if it had been killed after its first checkpoint
    stopped.train(2)
    assert stopped.losses() == whole.losses()[3:]
    names = [f"model.embedding_bags.embedding_bags.{t}.weight" for t in ("package", "section")]
    names.append("model.item_tower.default")
    left = read_tensors(whole.paths.checkpoints / f"step-{last}", names)
    right = read_tensors(newest_checkpoint(stopped.paths.checkpoints), names)
    for name in names:
        assert torch.equal(left[name], right[name])


@pytest.mark.usefixtures("one_rank")
def test_a_warm_start_copies_rows_by_value(config: Config) -> None:
    parent = Run(config, "20230610-00000001")
    parent.train(1)
    later = date(2025, 8, 9)
    make_day(config, later, 55)  # other features, more packages: every vocabulary changes its order
    child = Run(config, "20250809-00000001", later)
    fresh = read_state(child, "package").clone()
    state = child.checkpointer.state()
    new = load_vocabularies(child.paths.vocabularies)
    assert warm_start(state, parent.paths, new, child.training_set.schema) > 0
    child.model.load_state_dict(state["model"])
    child.optimizer.load_state_dict(state["optim"])
    old = load_vocabularies(parent.paths.vocabularies)
    for table in ("package", "section", "item_tags"):
        before = {v: read_state(parent, table)[n] for n, v in enumerate(old[table].values)}
        after = read_state(child, table)
        for row, value in enumerate(new[table].values):
            if value in before:
                assert torch.equal(after[row], before[value]), (table, value)
            elif table == "package":
                assert torch.equal(after[row], fresh[row])
    moments = state["optim"]["state"]["tables.embedding_bags.embedding_bags.package.weight"]
    assert "package.momentum1" in moments
    names = "optim.state.tables.embedding_bags.embedding_bags.package.weight.package.momentum1"
    stored = read_tensors(newest_checkpoint(parent.paths.checkpoints), [names])[names]
    sums = moments["package.momentum1"].local_shards()[0].tensor
    rows = old_row_of_new(new["package"], old["package"])
    assert torch.equal(sums[torch.from_numpy(rows >= 0)], stored[rows[rows >= 0]])
    assert not sums[torch.from_numpy(rows < 0)].any()


def read_state(run: Run, table: str) -> torch.Tensor:
    weight = run.model.state_dict()[f"embedding_bags.embedding_bags.{table}.weight"]
    tensor: torch.Tensor = weight.local_shards()[0].tensor
    return tensor


@pytest.mark.usefixtures("one_rank")
def test_a_loss_that_is_not_finite_stops_the_run(config: Config) -> None:
    run = Run(config, "20230610-00000001")
    with torch.no_grad():
        run.model.module.item_tower.default.fill_(float("nan"))
    with pytest.raises(LongtailError, match="loss of step 1 is not finite"):
        run.train(1)


def test_rows_are_found_by_value() -> None:
    def vocabulary(values: list[str]) -> Vocabulary:
        return Vocabulary("t", pa.array(values), pa.array([1] * len(values)))

    rows = old_row_of_new(vocabulary(["c", "new", "a"]), vocabulary(["a", "b", "c"]))
    assert rows.tolist() == [2, -1, 0]
    hashed = Vocabulary("t", pa.array([], pa.string()), pa.array([], pa.int64()), buckets=3)
    assert old_row_of_new(hashed, hashed).tolist() == [0, 1, 2]
    assert old_row_of_new(hashed, vocabulary(["a"])).tolist() == [-1, -1, -1]


def test_prefetching_keeps_order_and_hands_errors_over() -> None:
    assert list(prefetched(iter(range(20)))) == list(range(20))

    def broken() -> Any:
        yield 1
        raise ValueError("from the producer")

    with pytest.raises(ValueError, match="from the producer"):
        list(prefetched(broken()))
