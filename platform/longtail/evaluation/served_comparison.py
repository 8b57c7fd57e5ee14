"""Compares a new version with the served one, on the items that both know."""

import logging

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import (
    RunPaths,
    VersionPaths,
    parse_version_day,
    published_pointer,
    read_json,
)
from longtail.config import Config
from longtail.dataset.histories import Histories, with_newest
from longtail.dataset.training_set import TrainingSet
from longtail.evaluation.held_out import HeldOut, held_out_pairs
from longtail.evaluation.metrics import Vectors, metrics_by_slice, similarity_ranks
from longtail.evaluation.results import Comparison, Evaluation, MetricsBySlice, NoComparison
from longtail.evaluation.slices import Slices, each_slice
from longtail.features.encoding import EncodedRows, encode_table
from longtail.features.schema import Schema, Side
from longtail.features.vocabulary import load_vocabularies

log = logging.getLogger("longtail.evaluation")


def version_to_beat(config: Config, version: str) -> str | None:
    """Return the served version that a new one is measured against.

    Returns:
        None if nothing is served, if this version is served itself, or if the served version is of
        a later day: an older day is never published, and a model that has seen the future is not
        comparable with one that has not.
    """
    file = published_pointer(config)
    if not file.is_file():
        return None
    served = str(read_json(file)["version"])
    if served == version or parse_version_day(served) > parse_version_day(version):
        return None
    return served


def compared_with(document: Evaluation) -> str | None:
    """Return the served version that an evaluation was compared with, or None."""
    against = document["against_served"]
    return against["version"] if against else None


def compare_with_served(
    config: Config,
    version: str,
    served: str,
    training_set: TrainingSet,
    held_out: HeldOut,
    query_vectors: Vectors,
    item_vectors: Vectors,
    slices: Slices,
) -> Comparison | NoComparison:
    """Measure both versions on the same pairs, candidates and features.

    The features are those of the new version's day; the served version encodes them with its own
    vocabularies. Candidates are the catalogue items that the served version has exported. Pairs
    with other items are left out.

    Args:
        config: the project.
        version: the new version.
        served: the served version.
        training_set: the training set of the new version's day.
        held_out: its pairs over the whole catalogue, Q queries and C candidates.
        query_vectors: `[Q, dim]`, the new version's, with inner products that are scores.
        item_vectors: `[C, dim]`, the new version's.
        slices: `[C]` for each slice, whether an item of the whole catalogue belongs to it.

    Returns:
        The metrics of both versions, or the reason why there are none: a feature that the served
        version reads is gone, or has another type or length.
    """
    # The served encoder needs every feature it was trained with, in the shape it was trained with.
    paths = VersionPaths(config, served)
    schema = Schema.from_json(read_json(paths.schema))
    run = RunPaths(config, parse_version_day(version))
    missing = _missing_columns(run, schema)
    changed = _changed_features(training_set.schema, schema)
    if missing or changed:
        names = ", ".join(missing or changed)
        how = (
            "which the catalogue does not have any more"
            if missing
            else "which now has another type or length"
        )
        reason = f"the served version reads {names}, {how}"
        log.warning("%s cannot be compared with %s: %s", version, served, reason)
        return {"version": served, "not_comparable": reason}
    # The new version's vectors are at hand for the whole catalogue: pick those of common items.
    exported = pq.read_table(paths.embeddings, columns=["item_id"])["item_id"]
    known = pc.is_in(training_set.item_ids, value_set=exported.combine_chunks())
    common = held_out_pairs(training_set, "test", candidates=known.to_numpy(zero_copy_only=False))
    chosen_items = np.searchsorted(held_out.candidate, common.candidate)
    chosen_queries = np.searchsorted(held_out.query, common.query)
    common_slices = each_slice(slices, lambda members: members[chosen_items])

    def measured(queries: Vectors, items: Vectors) -> MetricsBySlice:
        batch = config.evaluation.query_batch_size
        ranks = similarity_ranks(queries, items, common, query_batch_size=batch)
        return metrics_by_slice(ranks, common, common_slices)

    from longtail.encoder.torch_encoder import load_encoder
    from longtail.evaluation.encoder_ranks import calibrated_vectors

    encoder = load_encoder(paths.folder)
    vocabularies = load_vocabularies(paths.vocabularies)

    def encoded(side: Side, ids: pa.Array) -> EncodedRows:
        return encode_table(_features(run, schema, side, ids), schema.sourced(side), vocabularies)

    queries = encoded("query", training_set.query_ids.take(pa.array(common.query)))
    if schema.history is not None:
        ids = vocabularies[schema.history.table].encode(training_set.item_ids)
        length = read_json(paths.config)["history"]["length"]
        histories = _histories(training_set, ids, length)
        num_sourced = len(schema.sourced("query"))
        queries = with_newest(queries, common.query, histories, num_sourced=num_sourced)
    items = encoded("item", training_set.item_ids.take(pa.array(common.candidate)))
    # Its biases are made again: those that it serves count links of the test part.
    served_vectors = calibrated_vectors(
        encoder,
        queries,
        items,
        np.asarray(training_set.train_count)[common.candidate],
        beta=read_json(paths.manifest).get("beta", 0.0) if paths.committed else 0.0,
        temperature=read_json(paths.config)["loss"]["temperature"],
    )
    return {
        "version": served,
        "num_common_items": common.num_candidates,
        "metrics": measured(query_vectors[chosen_queries], item_vectors[chosen_items]),
        "served_metrics": measured(*served_vectors),
    }


def _missing_columns(run: RunPaths, schema: Schema) -> list[str]:
    """Return the features of a schema that the day's catalogue does not have."""
    return [
        feature.key
        for side in ("query", "item")
        for feature in schema.sourced(side)
        if feature.name not in pq.read_schema(run.catalogue_files.latest(side)).names
    ]


def _changed_features(schema: Schema, served: Schema) -> list[str]:
    """Return the features with a kind, type or length that the served version cannot read."""
    now = {feature.key: feature for feature in schema.features}
    return [
        old.key
        for old in served.features
        if old.key in now
        and (
            (old.kind, old.dtype) != (now[old.key].kind, now[old.key].dtype)
            or (old.is_dense and old.length != now[old.key].length)
        )
    ]


def _histories(training_set: TrainingSet, code: npt.NDArray[np.int32], length: int) -> Histories:
    """Return the histories that a served version may see: those of the new version's training part.

    Args:
        training_set: the training set of the new version's day.
        code: `[num_items]` the items' rows in the served version's table of ids, or -1.
        length: most items of a history of the served version.
    """
    s = training_set
    return Histories.of_pairs(
        s.query_of_row[s.train.query_row],
        s.item_of_row[s.train.item_row],
        s.train.timestamp,
        code=code,
        num_queries=len(s.query_ids),
        length=length,
        timed=True,  # not read where no example is trained on
    )


def _features(run: RunPaths, schema: Schema, side: Side, ids: pa.Array) -> pa.Table:
    """Return the day's features of the given keys, in their order; null if the day has none.

    The histories of the catalogue hold the held-out pairs, and are left out.
    """
    names = [feature.name for feature in schema.sourced(side)]
    key = names[0]
    latest = pq.read_table(run.catalogue_files.latest(side), columns=names)
    rows = latest.take(pc.index_in(ids, value_set=latest[key].combine_chunks()))
    return rows.set_column(names.index(key), key, ids)
