"""One side of the training set: its distinct encoded rows, and the row that each example sees."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths
from longtail.dataset.distinct_rows import distinct_rows
from longtail.dataset.feature_states import States, interaction_states
from longtail.dataset.interactions import Interactions, microseconds, positions
from longtail.features.encoding import EncodedRows, concatenated, encode_table
from longtail.features.feast.repository import FeatureRepository
from longtail.features.record_batches import record_batches
from longtail.features.schema import Schema, Side
from longtail.features.vocabulary import Vocabulary

log = logging.getLogger("longtail.dataset")

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

# Feature rows that are encoded at once.
BLOCK = 500_000


@dataclass(frozen=True)
class SideRows:
    """One side's rows.

    Attributes:
        rows: distinct encoded rows, those as of the day first.
        entity_of_row: `[num_rows]` int32, the position of the row's key among the side's ids.
        latest_row: `[num_entities]` int32, the row as of the day; -1 for a key that has none.
        example_row: `[num_interactions]` int32, the row as of the interaction.
        first_seen: `[num_entities]` int64 microseconds of the first feature row, or of the first
            interaction for a key without feature rows.
    """

    rows: EncodedRows
    entity_of_row: Int32Array
    latest_row: Int32Array
    example_row: Int32Array
    first_seen: Int64Array


def known_keys(paths: RunPaths, schema: Schema, side: Side) -> pa.ChunkedArray:
    """Return the key of every feature row of a side; keys repeat."""
    key = schema.side(side)[0].name
    return pq.read_table(paths.catalogue_files.history(side), columns=[key])[key]


def side_rows(
    schema: Schema,
    side: Side,
    paths: RunPaths,
    interactions: Interactions,
    repository: FeatureRepository,
    vocabularies: Mapping[str, Vocabulary],
) -> SideRows:
    """Retrieve and encode one side's features: as of each interaction, and as of the day.

    The memory that it takes grows with the feature rows. An interaction takes a few numbers.

    Args:
        schema: the features of both sides.
        side: the side.
        paths: the files of the day.
        interactions: all interactions.
        repository: joins features point in time.
        vocabularies: by table name.

    Raises:
        LongtailError: Feast lost or repeated rows.
    """
    # Without the history: the catalogue's holds everything, the held-out parts too.
    features = schema.sourced(side)
    key, ids = features[0].name, interactions.ids(side)

    def position(keys: pa.ChunkedArray) -> Int64Array:
        return positions(keys.combine_chunks(), ids).astype(np.int64)

    # Feast joins one row for each state that interactions see, not one for each interaction.
    history = pq.read_table(paths.catalogue_files.history(side), columns=[key, "event_timestamp"])
    changed, changed_at = position(history[key]), microseconds(history["event_timestamp"])
    states = _states(interactions, side, changed, changed_at, repository.time_to_live(side))
    log.info("point-in-time features of %d %s states", len(states.entity), side)
    asked = pa.table(
        {
            key: ids.take(pa.array(states.entity)),
            "event_timestamp": pa.array(states.moment, pa.timestamp("us", tz="UTC")),
        }
    )
    # The rows as of the day come first. All go block by block, so that their texts are never in
    # memory together.
    latest_entities, encoded = [np.empty(0, np.int64)], []
    for rows in _latest(paths, side, [feature.name for feature in features]):
        latest_entities.append(position(rows[key]))
        encoded.append(encode_table(rows, features, vocabularies))
    for rows in repository.point_in_time_chunks(side, asked):
        encoded.append(encode_table(rows, features, vocabularies))
    together = concatenated(encoded)
    del encoded

    # Equal rows of one key stand once: a key may be in the same state on the day as before.
    latest = np.concatenate(latest_entities)
    entities = np.concatenate([latest, states.entity])
    kept, row_of = distinct_rows(together, entities)
    latest_row = np.full(len(ids), -1, np.int32)
    latest_row[latest] = row_of[: len(latest)]
    return SideRows(
        rows=together.take(kept),
        entity_of_row=entities[kept].astype(np.int32),
        latest_row=latest_row,
        example_row=row_of[len(latest) :].astype(np.int32)[states.of_example],
        first_seen=_first_seen(interactions, side, changed, changed_at),
    )


def _states(
    interactions: Interactions,
    side: Side,
    changed: Int64Array,
    changed_at: Int64Array,
    time_to_live: timedelta | None,
) -> States:
    """Return the states that the interactions see of a side; rows expire after `time_to_live`."""
    if time_to_live is not None:
        # A row still counts at the very end of its life, so the change comes a microsecond later.
        ends = changed_at + (time_to_live // timedelta(microseconds=1) + 1)
        changed, changed_at = np.tile(changed, 2), np.concatenate([changed_at, ends])
    return interaction_states(
        interactions.entity(side),
        interactions.when,
        changed,
        changed_at,
        num_entities=len(interactions.ids(side)),
    )


def _first_seen(
    interactions: Interactions, side: Side, changed: Int64Array, changed_at: Int64Array
) -> Int64Array:
    """Return the moment at which each key came to be, see `SideRows.first_seen`."""
    never = np.iinfo(np.int64).max
    first_seen = np.full(len(interactions.ids(side)), never)
    np.minimum.at(first_seen, interactions.entity(side), interactions.when)
    born = np.full(len(first_seen), never)
    np.minimum.at(born, changed, changed_at)
    return np.where(born < never, born, first_seen)


def _latest(paths: RunPaths, side: Side, columns: list[str]) -> Iterator[pa.Table]:
    """Yield the catalogue's rows of a side, block by block."""
    for batch in record_batches(paths.catalogue_files.latest(side), BLOCK, columns):
        yield pa.Table.from_batches([batch])
