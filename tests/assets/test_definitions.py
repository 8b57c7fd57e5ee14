"""The graph, the jobs and the schedule, word for word."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from assets.definitions import defs
from assets.partitions import DAILY, last_complete_day
from assets.schedules import daily_refresh

GRAPH = {
    "interactions": set(),
    "items": set(),
    "queries": set(),
    "catalogue": {"interactions", "items", "queries"},
    "vocabularies": {"catalogue"},
    "feature_correlations": {"catalogue"},
    "training_set": {"catalogue", "vocabularies"},
    "two_tower_model": {"training_set", "feature_correlations"},
    "retrieval_evaluation": {"two_tower_model"},
    "approved_model": {"retrieval_evaluation"},
    "item_embeddings": {"approved_model"},
    "item_index": {"item_embeddings"},
    "online_item_embeddings": {"item_index", "online_query_features"},
    "online_query_features": {"catalogue"},
}
SOURCES = {"interactions", "items", "queries"}
RETRIED = {"online_item_embeddings", "online_query_features"}
OF_ALL_TABLES = {
    *("table_schema", "empty_tables", "refused_share", "null_keys", "future_timestamps"),
    *("mixed_types", "time_range"),
}
OF_EITHER_SIDE = {
    *("duplicate_rows", "contradicting_rows", "label_leakage"),
    *("near_unique", "constant_columns", "nearly_empty"),
    *("coverage_drift", "cardinality_drift", "distribution_drift"),
}
OF_INTERACTIONS = {
    *("bad_weights", "zero_weights", "weight_range"),
    *("dangling_keys", "mismatched_keys", "key_overlap"),
}
OF_THE_PROJECT = {
    *("configuration", "feature_definitions", "recorded_roles"),
    *("packages", "java", "gpu", "online_store", "disk_space", "memory"),
}
# The checks of `longtail check`: an error among them stops the run.
BLOCKING = {
    *(("items", name) for name in OF_ALL_TABLES | OF_EITHER_SIDE | {"tombstone"}),
    *(("queries", name) for name in OF_ALL_TABLES | OF_EITHER_SIDE | {"late_features"}),
    *(("interactions", name) for name in OF_ALL_TABLES | OF_INTERACTIONS),
    *(("catalogue", name) for name in OF_THE_PROJECT),
}
CHECKS = {
    *BLOCKING,
    ("catalogue", "catalogue_did_not_shrink"),
    ("training_set", "every_split_has_examples"),
    ("retrieval_evaluation", "better_than_popularity"),
    ("item_embeddings", "one_embedding_an_item"),
    ("item_embeddings", "embeddings_are_unit_vectors"),
    ("online_item_embeddings", "served_version_is_whole"),
    ("online_item_embeddings", "lookups_equal_the_file"),
    ("online_item_embeddings", "served_data_are_fresh"),
    ("approved_model", "gate"),
}


def test_the_graph_is_that_of_the_design() -> None:
    graph = defs.resolve_asset_graph()
    found = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert found == GRAPH
    executable = {key.to_user_string() for key in graph.executable_asset_keys}
    assert executable == set(GRAPH) - SOURCES


def test_every_asset_that_we_make_is_partitioned_by_day() -> None:
    graph = defs.resolve_asset_graph()
    partitioned = {
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if graph.get(key).partitions_def == DAILY
    }
    assert partitioned == set(GRAPH) - SOURCES


def test_only_publication_is_retried() -> None:
    nodes = defs.resolve_job_def("refresh").nodes
    retried = {node.name for node in nodes if node.definition.retry_policy is not None}
    assert retried == RETRIED


def test_the_refresh_makes_and_checks_everything() -> None:
    job = defs.resolve_job_def("refresh")
    made = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert made == set(GRAPH) - SOURCES
    checked = {
        (key.asset_key.to_user_string(), key.name)
        for key in defs.resolve_asset_graph().asset_check_keys
    }
    assert checked == CHECKS
    graph = defs.resolve_asset_graph()
    blocking = {key for key in graph.asset_check_keys if graph.get(key).blocking}
    assert {(key.asset_key.to_user_string(), key.name) for key in blocking} == BLOCKING
    # A refresh does not make the tables, but it checks them.
    assert job.asset_layer.executable_asset_keys.isdisjoint(
        {key.asset_key for key in blocking} - {dg.AssetKey("catalogue")}
    )
    assert {"check_tables", "check_project"} <= {node.name for node in job.nodes}


def test_a_day_is_a_partition_from_its_first_moment_on() -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    keys = DAILY.get_partition_keys(current_time=noon)
    assert keys[-2:] == ["2026-03-01", "2026-03-02"]
    assert last_complete_day(noon) == date(2026, 3, 1)
    assert last_complete_day(datetime(2026, 3, 2, tzinfo=UTC)) == date(2026, 3, 1)
    east = datetime.fromisoformat("2026-03-02T01:00:00+03:00")
    assert last_complete_day(east) == date(2026, 2, 28)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


def tick(instance: dg.DagsterInstance, moment: str) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=datetime.fromisoformat(moment)
    )
    answer = daily_refresh(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def test_the_schedule_is_off_and_asks_for_the_last_complete_day(
    instance: dg.DagsterInstance,
) -> None:
    assert daily_refresh.default_status == dg.DefaultScheduleStatus.STOPPED
    request = tick(instance, "2026-03-01T03:00:00+00:00")
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2026-02-28"


@pytest.mark.parametrize(
    ("status", "day", "skipped"),
    [
        (dg.DagsterRunStatus.STARTED, 11, True),
        (dg.DagsterRunStatus.CANCELING, 13, True),
        (dg.DagsterRunStatus.FAILURE, 15, False),
        (dg.DagsterRunStatus.SUCCESS, 17, False),
    ],
)
def test_the_schedule_waits_for_a_refresh_of_the_same_day(
    status: dg.DagsterRunStatus, day: int, skipped: bool, instance: dg.DagsterInstance
) -> None:
    job = defs.resolve_job_def("refresh")
    instance.create_run_for_job(job, tags={"dagster/partition": f"2026-03-{day}"}, status=status)
    same_day = tick(instance, f"2026-03-{day + 1}T03:00:00+00:00")
    assert isinstance(same_day, dg.SkipReason) is skipped
    assert isinstance(tick(instance, f"2026-03-{day + 2}T03:00:00+00:00"), dg.RunRequest)
