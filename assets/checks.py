"""The checks of each asset after it was made, beside the gate.

They read files and the online store. None of them stops a run; only the gate does.
"""

from datetime import date
from typing import TYPE_CHECKING

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    asset_check,
)

from assets.evaluation import retrieval_evaluation
from assets.features import catalogue
from assets.publication import item_embeddings, online_item_embeddings
from assets.resources import Project
from assets.stage import failures, forwarded_log, stage
from assets.training import training_set
from longtail.config import Config

if TYPE_CHECKING:
    import pyarrow as pa

CATALOGUE_DID_NOT_SHRINK = "catalogue_did_not_shrink"
EVERY_SPLIT_HAS_EXAMPLES = "every_split_has_examples"
BETTER_THAN_POPULARITY = "better_than_popularity"
ONE_EMBEDDING_AN_ITEM = "one_embedding_an_item"
EMBEDDINGS_ARE_UNIT_VECTORS = "embeddings_are_unit_vectors"
SERVED_VERSION_IS_WHOLE = "served_version_is_whole"
LOOKUPS_EQUAL_THE_FILE = "lookups_equal_the_file"
SERVED_DATA_ARE_FRESH = "served_data_are_fresh"

MIN_CATALOGUE_RATIO = 0.8
_NUM_LOOKUPS = 100


@asset_check(asset=catalogue, name=CATALOGUE_DID_NOT_SHRINK)
def catalogue_did_not_shrink(
    context: AssetCheckExecutionContext, project: Project
) -> AssetCheckResult:
    """Check that the catalogue has at least four fifths of the served version's items.

    Fewer mean that the export of the items table is broken.
    """
    from longtail.artifacts import RunPaths, published_pointer, read_json
    from longtail.fingerprints import required_stamp

    with stage(context) as as_of:
        config = project.load()
        stamp = required_stamp(RunPaths(config, as_of).catalogue, made_by="dataset")
        pointer = published_pointer(config)
        served = read_json(pointer)["num_items"] if pointer.is_file() else 0
        return AssetCheckResult(
            passed=stamp["num_items"] >= MIN_CATALOGUE_RATIO * served,
            severity=AssetCheckSeverity.WARN,
            metadata={"num_items": stamp["num_items"], "num_served_items": served},
        )


@asset_check(asset=training_set, name=EVERY_SPLIT_HAS_EXAMPLES)
def every_split_has_examples(
    context: AssetCheckExecutionContext, project: Project
) -> AssetCheckResult:
    """Check that no part is empty: it could not be trained or measured on."""
    from longtail.artifacts import RunPaths
    from longtail.fingerprints import required_stamp

    with stage(context) as as_of:
        folder = RunPaths(project.load(), as_of).training_set
        stamp = required_stamp(folder, made_by="dataset")
        counts = {f"num_{part}": stamp[f"num_{part}"] for part in ("train", "validation", "test")}
        return AssetCheckResult(passed=all(counts.values()), metadata=counts)


@asset_check(asset=retrieval_evaluation, name=BETTER_THAN_POPULARITY)
def better_than_popularity(
    context: AssetCheckExecutionContext, project: Project
) -> AssetCheckResult:
    """Check that overall recall@50 is above that of recommending the most popular items."""
    from longtail.artifacts import RunPaths, VersionPaths, read_json

    with stage(context) as as_of:
        config = project.load()
        version = read_json(RunPaths(config, as_of).model)["version"]
        document = read_json(VersionPaths(config, version).metrics)
        model = document["metrics"]["overall"]["recall@50"]
        popularity = document["baselines"]["popularity_ranking"]["overall"]["recall@50"]
        return AssetCheckResult(
            passed=bool(model > popularity),
            metadata={"recall_at_50": model, "popularity_recall_at_50": popularity},
        )


@asset_check(asset=item_embeddings, name=ONE_EMBEDDING_AN_ITEM)
def one_embedding_an_item(
    context: AssetCheckExecutionContext, project: Project
) -> AssetCheckResult:
    """Check that the file has exactly the catalogue's items, also those without interactions."""
    import pyarrow.parquet as pq

    from longtail.artifacts import RunPaths

    with stage(context) as as_of:
        config = project.load()
        table = pq.read_table(RunPaths(config, as_of).catalogue_files.items)
        expected = table.column(0)
        found = _embeddings(config, as_of).column("item_id")
        return AssetCheckResult(
            passed=expected.combine_chunks().equals(found.combine_chunks()),
            metadata={"num_items": len(expected), "num_embeddings": len(found)},
        )


@asset_check(asset=item_embeddings, name=EMBEDDINGS_ARE_UNIT_VECTORS)
def embeddings_are_unit_vectors(
    context: AssetCheckExecutionContext, project: Project
) -> AssetCheckResult:
    """Check that embeddings are finite and of length one, so that dot products are cosines."""
    import numpy as np

    with stage(context) as as_of:
        column = _embeddings(project.load(), as_of).column("embedding").combine_chunks()
        vectors = column.flatten().to_numpy().reshape(-1, column.type.list_size)
        norms = np.linalg.norm(vectors, axis=1)
        worst = float(np.abs(norms - 1.0).max(initial=0.0))
        return AssetCheckResult(
            passed=bool(np.isfinite(worst) and worst < 1e-3),
            metadata={"largest_deviation_from_one": worst},
        )


@asset_check(asset=online_item_embeddings, name=SERVED_VERSION_IS_WHOLE)
def served_version_is_whole(
    context: AssetCheckExecutionContext, project: Project
) -> AssetCheckResult:
    """Check that every file of the served version has the hash in its manifest."""
    from longtail.artifacts import published_pointer, read_json
    from longtail.embeddings.versions import verify_version

    with stage(context):
        config = project.load()
        served = read_json(published_pointer(config))
        manifest = verify_version(config, served["version"])
        return AssetCheckResult(
            passed=manifest["num_items"] == served["num_items"],
            metadata={"version": served["version"], "num_files": len(manifest["files"])},
        )


@asset_check(asset=online_item_embeddings, name=LOOKUPS_EQUAL_THE_FILE)
def lookups_equal_the_file(
    context: AssetCheckExecutionContext, project: Project
) -> AssetCheckResult:
    """Check a sample of online lookups, value for value, against the version's file."""
    import numpy as np
    import pyarrow.parquet as pq

    from longtail.artifacts import VersionPaths, published_pointer, read_json
    from longtail.serving.client import EmbeddingClient

    with stage(context) as as_of:
        config = project.load()
        version = read_json(published_pointer(config))["version"]
        table = pq.read_table(VersionPaths(config, version).embeddings)
        rows = np.random.default_rng(as_of.toordinal()).permutation(table.num_rows)[:_NUM_LOOKUPS]
        sample = table.take(rows).to_pydict()
        online = EmbeddingClient(config).lookup(sample["item_id"])["embeddings"]
        differing = [
            item
            for item, vector in zip(sample["item_id"], sample["embedding"], strict=True)
            if (found := online[item]) is None or not np.array_equal(found, np.float32(vector))
        ]
        return AssetCheckResult(
            passed=not differing,
            metadata={"version": version, "num_lookups": len(rows), "differing": differing[:10]},
        )


@asset_check(asset=online_item_embeddings, name=SERVED_DATA_ARE_FRESH)
def served_data_are_fresh(
    context: AssetCheckExecutionContext, project: Project
) -> AssetCheckResult:
    """Check that the newest row of the served version's data is younger than `max_age_hours`.

    Not the time of the run counts: a refresh of an old day, or of a day without data, makes nothing
    fresh. The schedule `hourly_freshness` asks also where no refresh runs.
    """
    from datetime import UTC, datetime

    from longtail.embeddings.published_pointer import served_pointer
    from longtail.embeddings.refresh.news import data_age

    with forwarded_log(context), failures():
        config = project.load()
        served = served_pointer(config).served
        hours = data_age(served, datetime.now(UTC)).total_seconds() / 3600
        age = f"{hours:.1f} hours" if hours < 72 else f"{hours / 24:.0f} days"
        limit = config.schedule.max_age_hours
        return AssetCheckResult(
            passed=hours <= limit,
            severity=AssetCheckSeverity.WARN,
            description=f"the newest row of version {served.version} is {age} old; at most "
            f"{limit:g} hours are allowed (`schedule.max_age_hours`)",
            metadata={
                "version": served.version,
                "as_of": served.as_of,
                "newest_row": served.newest_row or "unknown",
                "age_hours": hours,
            },
        )


def _embeddings(config: Config, as_of: date) -> "pa.Table":
    import pyarrow.parquet as pq

    from longtail.artifacts import RunPaths, VersionPaths, read_json

    version = read_json(RunPaths(config, as_of).approved)["version"]
    return pq.read_table(VersionPaths(config, version).embeddings)


ALL = [
    catalogue_did_not_shrink,
    every_split_has_examples,
    better_than_popularity,
    one_embedding_an_item,
    embeddings_are_unit_vectors,
    served_version_is_whole,
    lookups_equal_the_file,
    served_data_are_fresh,
]
