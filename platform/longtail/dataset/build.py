"""The stage that makes the training set: point-in-time features, encoded, split."""

import logging
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import (
    STAMP,
    RunPaths,
    fingerprint,
    is_current,
    read_json,
    replaced_folder,
    required_stamp,
    source_hash,
    write_json,
)
from longtail.config import Config
from longtail.dataset.splits import TEST, TRAIN, VALIDATION, split_examples
from longtail.dataset.training_set import Examples, TrainingSet, write_training_set
from longtail.dataset.untrained import untrained_shares
from longtail.features.encoding import EncodedRows, encode_table
from longtail.features.schema import Schema, Side
from longtail.features.store import FeatureRepository
from longtail.features.vocabulary import SCHEMA_FILE, Vocabulary, load_vocabularies

log = logging.getLogger("longtail.dataset")

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]


def build_training_set(config: Config, as_of: date) -> dict[str, Any]:
    """Join every interaction with its features at its own time, encode, split and write.

    Returns:
        The stamp: `{"fingerprint", "num_train", "num_validation", "num_test", "num_items",
        "num_queries", "num_item_rows", "num_query_rows", "untrained_shares"}`, the last by table
        (see `untrained_shares`).
    """
    paths = RunPaths(config, as_of)
    catalogue = required_stamp(paths.catalogue, made_by="dataset")
    vocabulary_stamp = required_stamp(paths.vocabularies, made_by="dataset")
    identity = fingerprint(
        catalogue["fingerprint"],
        vocabulary_stamp["fingerprint"],
        config.dataset.model_dump(mode="json"),
        source_hash("features", "dataset"),
    )
    if is_current(paths.training_set, identity):
        log.info("training set of %s is up to date", as_of)
        return dict(required_stamp(paths.training_set, made_by="dataset"))

    schema = Schema.from_json(read_json(paths.vocabularies / SCHEMA_FILE))
    vocabularies = load_vocabularies(paths.vocabularies)
    repository = FeatureRepository(config)
    interactions = pq.read_table(paths.catalogue / "interactions.parquet")
    timestamps = _microseconds(interactions["event_timestamp"])

    sides = {
        side: _Side(schema, side, paths, interactions, timestamps, repository, vocabularies)
        for side in ("query", "item")
    }
    query, item = sides["query"], sides["item"]
    part = split_examples(
        interactions["query_id"].combine_chunks(),
        interactions["item_id"].combine_chunks(),
        timestamps,
        config.dataset,
        unordered=schema.shared_ids,
    )
    weight = interactions["weight"].to_numpy().astype(np.float32)

    def examples(chosen: int) -> Examples:
        rows = np.flatnonzero(part == chosen)
        return Examples(
            query.example_row[rows], item.example_row[rows], weight[rows], timestamps[rows]
        )

    train = examples(TRAIN)
    training_set = TrainingSet(
        schema=schema,
        item_rows=item.rows,
        query_rows=query.rows,
        item_ids=item.ids,
        catalogue_row=item.latest_row,
        item_of_row=item.entity_of_row,
        first_seen=item.first_seen,
        train_count=np.bincount(item.entity_of_row[train.item_row], minlength=len(item.ids)),
        query_ids=query.ids,
        latest_query_row=query.latest_row,
        query_of_row=query.entity_of_row,
        train=train,
        validation=examples(VALIDATION),
        test=examples(TEST),
    )
    untrained = untrained_shares(training_set, vocabularies)
    with replaced_folder(paths.training_set) as folder:
        write_training_set(folder, training_set)
        stamp = {
            "fingerprint": identity,
            "num_train": len(train),
            "num_validation": len(training_set.validation),
            "num_test": len(training_set.test),
            "num_items": len(item.ids),
            "num_queries": len(query.ids),
            "num_item_rows": item.rows.num_rows,
            "num_query_rows": query.rows.num_rows,
            "untrained_shares": untrained,
        }
        write_json(folder / STAMP, stamp)
    log.info(
        "training set: %d train, %d validation, %d test examples over %d item rows",
        stamp["num_train"],
        stamp["num_validation"],
        stamp["num_test"],
        stamp["num_item_rows"],
    )
    shares = ", ".join(f"{table} {share:.0%}" for table, share in untrained.items())
    log.info("values that no training example has: %s", shares)
    return stamp


class _Side:
    """One side's entities, its distinct encoded rows, and the row of each interaction.

    Attributes:
        ids: `[num_entities]` all keys, sorted.
        rows: distinct encoded rows.
        entity_of_row: `[num_rows]` position in `ids`.
        latest_row: `[num_entities]` row as of the day; -1 where there is none.
        example_row: `[num_interactions]` row as of the interaction.
        first_seen: `[num_entities]` microseconds of the first feature row, or where there is none,
            of the first interaction.
    """

    def __init__(
        self,
        schema: Schema,
        side: Side,
        paths: RunPaths,
        interactions: pa.Table,
        timestamps: Int64Array,
        repository: FeatureRepository,
        vocabularies: dict[str, Vocabulary],
    ) -> None:
        features = schema.side(side)
        key = features[0].name
        file = "items.parquet" if side == "item" else "queries.parquet"
        latest = pq.read_table(paths.catalogue / file)
        history = pq.read_table(
            paths.catalogue / f"{side}_history.parquet", columns=[key, "event_timestamp"]
        )
        seen = interactions[f"{side}_id"]
        everyone = pa.chunked_array([*history[key].chunks, *seen.chunks], pa.string())
        self.ids = pc.unique(everyone).sort()

        def position(keys: pa.ChunkedArray) -> Int64Array:
            positions: Int64Array = pc.index_in(keys, value_set=self.ids).to_numpy()
            return positions.astype(np.int64)

        entity, when = position(seen), timestamps
        moments, moment = np.unique(when, return_inverse=True)
        states, state_of_example = np.unique(entity * len(moments) + moment, return_inverse=True)
        state_entity = states // len(moments)
        asked = pa.table(
            {
                key: self.ids.take(pa.array(state_entity)),
                "event_timestamp": pa.array(
                    moments[states % len(moments)], pa.timestamp("us", tz="UTC")
                ),
            }
        )
        log.info("point-in-time features of %d %s states", asked.num_rows, side)
        joined = repository.point_in_time(side, asked)

        columns = [feature.name for feature in features]
        latest_entity = position(latest[key])
        encoded = encode_table(
            pa.concat_tables(
                [latest.select(columns), joined.select(columns)], promote_options="permissive"
            ),
            features,
            vocabularies,
        )
        entity_of_encoded = np.concatenate([latest_entity, state_entity])
        kept, row_of_encoded = distinct_rows(encoded, entity_of_encoded)
        self.rows = encoded.take(kept)
        self.entity_of_row = entity_of_encoded[kept].astype(np.int32)
        self.latest_row = np.full(len(self.ids), -1, np.int32)
        self.latest_row[latest_entity] = row_of_encoded[: len(latest_entity)]
        self.example_row = row_of_encoded[len(latest_entity) :][state_of_example].astype(np.int32)
        self.first_seen = np.full(len(self.ids), np.iinfo(np.int64).max)
        np.minimum.at(self.first_seen, entity, when)
        born = np.full(len(self.ids), np.iinfo(np.int64).max)
        np.minimum.at(born, position(history[key]), _microseconds(history["event_timestamp"]))
        has_rows = born < np.iinfo(np.int64).max
        self.first_seen[has_rows] = born[has_rows]


def distinct_rows(
    rows: EncodedRows, entities: npt.NDArray[np.integer]
) -> tuple[Int64Array, Int64Array]:
    """Find equal rows of equal entities.

    Args:
        rows: `[n]` encoded rows; the order of values inside a feature does not count.
        entities: `[n]` whose row each is.

    Returns:
        `[m]` positions of the rows to keep, in order, and `[n]` position of each row's equal
        among the kept ones.
    """
    lengths = np.diff(rows.offsets)
    feature = np.tile(np.arange(rows.num_features), rows.num_rows)
    cells = np.repeat(feature, lengths).astype(np.uint64) << np.uint64(32)
    mixed = _mix64(cells | rows.values.astype(np.uint64))
    running = np.zeros(len(mixed) + 1, np.uint64)
    np.cumsum(mixed, out=running[1:])
    ends = rows.offsets[rows.num_features :: rows.num_features]
    starts = rows.offsets[: -1 : rows.num_features]
    content = running[ends] - running[starts]  # wraps around, as it should
    keys = np.rec.fromarrays([np.asarray(entities, np.int64), content])
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.ravel()]


def _mix64(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finalizer: a bijection of 64-bit numbers that spreads every bit."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _microseconds(column: pa.ChunkedArray) -> Int64Array:
    utc = pc.cast(column, pa.timestamp("us", tz="UTC"))
    microseconds: Int64Array = pc.cast(utc, pa.int64()).to_numpy()
    return microseconds
