"""Plans without a cluster: they have the memory of a real model, and their cures do help."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.artifacts import CatalogueFiles, write_json
from longtail.config import (
    Config,
    CorrelationConfig,
    HistoryConfig,
    ShardingConfig,
    TrainingConfig,
)
from longtail.errors import InputError
from longtail.features.history_feature import with_history
from longtail.features.schema import Schema
from longtail.training.sharding.cluster import GIGABYTE, Cluster
from longtail.training.sharding.cluster_plan import Model, lengths_in, place, plan_cluster
from longtail.training.sharding.plan_alternatives import what_would_fit
from longtail.training.sharding.torchrec_planner import batch_rows
from tests.evaluation.small_project import DIM, SCHEMA
from tests.training.small_training import SmallTraining, small_config

ROWS = {"package": 64_000_000, "section": 60_000, "item_tags": 600_000}


def model(rows: dict[str, int] = ROWS, *, dim: int = 64, **sharding: Any) -> Model:
    schema = Schema(*(tuple(replace(f, dim=dim) for f in side) for side in sides()))
    config = Config(
        feature_repo=Path(),
        training=TrainingConfig(batch_size=1024),
        sharding=ShardingConfig.model_validate(sharding),
    )
    return Model(schema, config, rows, {"item.tags": 5.0})


def sides() -> tuple[Any, Any]:
    return SCHEMA.query, SCHEMA.item


def cluster(world_size: int, *, device: str = "cuda", gigabytes: float = 80.0) -> Cluster:
    memory = int(gigabytes * GIGABYTE)
    on_cuda = device == "cuda"
    return Cluster(
        world_size=world_size,
        local_world_size=min(8, world_size),
        device=device,
        hbm_bytes=memory if on_cuda else 0,
        ddr_bytes=128 * GIGABYTE if on_cuda else memory,
    )


def allocated(training: SmallTraining) -> dict[str, int]:
    """Return the bytes that FBGEMM holds for a one-rank model: weights and optimizer state."""
    weights = state = 0
    for lookup in training.model.module.embedding_bags._lookups:
        for grouped in lookup._emb_modules:
            weights += grouped.emb_module.weights_host.nbytes
            state += grouped.emb_module.momentum1_host.nbytes
    return {"weights": weights, "state": state}


@pytest.mark.parametrize(
    ("sharding", "weights", "state"),
    [
        ({}, 4 * DIM, 4),
        ({"optimizer": "adagrad"}, 4 * DIM, 4 * DIM),
        ({"default": {"data_type": "fp16"}}, 2 * DIM, 4),
        ({"optimizer": "adagrad", "default": {"data_type": "fp16"}}, 2 * DIM, 4 * DIM),
    ],
)
@pytest.mark.usefixtures("one_rank")
def test_the_memory_of_a_plan_is_what_fbgemm_allocates(
    tmp_path: Path, sharding: dict[str, Any], weights: int, state: int
) -> None:
    config = small_config(tmp_path, **sharding)
    small = SmallTraining(config)
    # The tables are so large that the planner's buffers of the lookup hardly count.
    rows = dict.fromkeys(small.num_rows, 200_000)
    num_rows = sum(rows.values())
    write_json(tmp_path / "runs" / "2023-06-10" / "vocabularies" / "stamp.json", {"num_rows": rows})
    taken = allocated(SmallTraining(config))
    assert taken == {"weights": weights * num_rows, "state": state * num_rows}
    placement = place(Model(SCHEMA, config, rows, {}), cluster(1, device="cpu"))
    assert placement is not None
    assert placement.storage[0].ddr == pytest.approx(sum(taken.values()), rel=0.02)


def test_a_plan_says_what_every_rank_holds_and_what_limits_it() -> None:
    document = plan_cluster(model(default={"sharding_types": ["table_wise"]}), cluster(4))
    assert document["fits"]
    assert [rank["rank"] for rank in document["ranks"]] == [0, 1, 2, 3]
    by_name = {table["name"]: table for table in document["tables"]}
    package = by_name["package"]
    assert (package["num_embeddings"], package["dim"]) == (64_000_000, 64)
    assert (package["sharding"], package["kernel"]) == ("table_wise", "fused")
    # Weights, and one sum a row, in fp32. A step's indices and embeddings add some megabytes.
    assert package["bytes"] == pytest.approx(64e6 * 65 * 4, rel=0.001)
    (rank,) = package["ranks"]
    largest = document["ranks"][rank]
    assert largest["hbm_bytes"] >= package["bytes"]
    memory = document["bottleneck"]["memory"]
    assert (memory["rank"], memory["resource"], memory["table"]) == (rank, "hbm", "package")
    assert memory["share"] == pytest.approx(largest["hbm_bytes"] / (0.85 * 80 * GIGABYTE))
    time = document["bottleneck"]["time"]
    slowest = max(entry["milliseconds"] for entry in document["ranks"])
    assert time["milliseconds"] == slowest == document["ranks"][time["rank"]]["milliseconds"]
    assert sum(time["parts"].values()) == pytest.approx(slowest)
    assert time["part"] == max(time["parts"], key=lambda part: time["parts"][part])


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(st.integers(1, 50_000_000), min_size=3, max_size=3),
    world_size=st.sampled_from([1, 2, 3, 8, 16]),
    device=st.sampled_from(["cpu", "cuda"]),
    gigabytes=st.sampled_from([1.0, 8.0, 80.0]),
)
def test_ranks_hold_all_tables_and_no_more_than_they_can(
    rows: list[int], world_size: int, device: str, gigabytes: float
) -> None:
    asked = replace(
        cluster(world_size, device=device, gigabytes=gigabytes),
        local_world_size=8 if world_size > 8 else world_size,
    )
    document = plan_cluster(model(dict(zip(ROWS, rows, strict=True))), asked)
    held = [rank["hbm_bytes"] + rank["ddr_bytes"] for rank in document["ranks"]]
    assert sum(held) == sum(table["bytes"] for table in document["tables"])
    assert sum(held) >= 65 * 4 * sum(rows)
    limit = gigabytes * GIGABYTE - document["capacity"]["reserved_bytes"]
    if document["fits"]:
        assert max(held) <= limit
        assert document["bottleneck"]["memory"]["share"] <= 1.0


def test_more_values_make_exact_tables_larger_and_leave_hashed_ones() -> None:
    hashed = replace(SCHEMA.item[2], vocabulary="hash", buckets=600_000)
    schema = Schema(SCHEMA.query, (*SCHEMA.item[:2], hashed))
    scaled = replace(model(), schema=schema).scaled(2.5)
    assert scaled.num_rows == {"package": 160_000_000, "section": 150_000, "item_tags": 600_000}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_cure_that_is_named_cures_and_is_the_mildest(device: str) -> None:
    asked = cluster(2, device=device, gigabytes=8.0)
    large = model(default={"sharding_types": ["table_wise"]}, optimizer="adagrad")
    document = plan_cluster(large, asked)
    assert not document["fits"]
    # The plan for unlimited memory: the largest table is on one rank.
    assert document["bottleneck"]["memory"]["share"] == pytest.approx(
        64e6 * 64 * 8 / (0.85 * 8 * GIGABYTE), rel=0.02
    )
    cures = {entry["change"].split(" (")[0]: entry for entry in what_would_fit(large, asked)}
    limit = 0.85 * 8 * GIGABYTE
    for entry in cures.values():
        assert entry["hbm_bytes" if device == "cuda" else "ddr_bytes"] <= limit
    # 64e6 rows of 64 columns are 30.5 GB with their sums. A rank has 6.8 GB for them: an eighth
    # fits, and a quarter does not. In fp16 with one number a row they are 7.8 GB, which do not fit.
    assert "embedding sizes divided by 8" in cures
    assert "fp16 tables" not in cures
    assert "fp16 tables with row-wise Adagrad" not in cures
    hashed = next(name for name in cures if "vocabulary: hash" in name)
    assert hashed.startswith("`vocabulary: hash`, `buckets: 8388608` for package")
    if device == "cuda":
        assert "tables in host memory, cached on the device" in cures
        row_wise = model(default={"sharding_types": ["row_wise"]}, optimizer="adagrad")
        split = replace(large, config=row_wise.config)
        assert place(split, replace(asked, world_size=4, local_world_size=4)) is None
    else:
        assert not any(name.endswith("ranks") for name in cures)  # one table is one rank's


def test_ranks_are_added_until_it_fits() -> None:
    large, asked = model(), cluster(2, gigabytes=8.0)
    assert not plan_cluster(large, asked)["fits"]
    (cure,) = [e for e in what_would_fit(large, asked) if e["change"].endswith("ranks")]
    needed = cure["world_size"]
    assert place(large, replace(asked, world_size=needed, local_world_size=8)) is not None
    half = needed // 2
    assert place(large, replace(asked, world_size=half, local_world_size=min(8, half))) is None


def test_what_a_data_type_cannot_name_is_noted() -> None:
    document = plan_cluster(model().scaled(40), cluster(64))
    (note,) = document["notes"]
    assert "table package would have 2,560,000,000 rows" in note


def test_a_batch_whose_logits_are_larger_than_what_is_reserved_is_noted() -> None:
    wide = model(ROWS)
    config = wide.config.model_copy(update={"training": TrainingConfig(batch_size=32_768)})
    document = plan_cluster(replace(wide, config=config), cluster(8, gigabytes=40.0))
    # Four numbers of four bytes for each pair of 32,768 examples and 65,536 candidates.
    assert document["capacity"]["towers_bytes"] > 4 * 4 * 32_768 * 65_536
    assert any("a smaller batch needs less" in note for note in document["notes"])


@pytest.mark.parametrize(("never_mask", "copies"), [((), 1), (("item_id",), 1), (("tags",), 2)])
def test_sampled_items_count_twice_where_both_views_show_what_loses_values(
    never_mask: tuple[str, ...], copies: int
) -> None:
    small = model()
    kept = {"correlation": CorrelationConfig(never_mask=never_mask)}
    assert batch_rows(small.config.model_copy(update=kept), small.schema) == 1024 + copies * 1024


def test_a_table_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"`sharding\.tables\.tags`"):
        plan_cluster(model(tables={"tags": {}}), cluster(1))


def test_the_mean_number_of_values_is_read_from_the_data(tmp_path: Path) -> None:
    rows = pa.table({"tags": [["a", "b"], [], None, ["c", "c", "d", "e"]]})
    pq.write_table(rows, tmp_path / "item_history.parquet")
    assert lengths_in(CatalogueFiles(tmp_path), SCHEMA) == {"item.tags": 6 / 4}
    # Histories are known as of the day alone.
    pq.write_table(pa.table({"history": [["a", "b"], [], ["c"]]}), tmp_path / "queries.parquet")
    with_items = with_history(SCHEMA, HistoryConfig(length=5))
    assert lengths_in(CatalogueFiles(tmp_path), with_items) == {
        "query.history": 1.0,
        "item.tags": 6 / 4,
    }
