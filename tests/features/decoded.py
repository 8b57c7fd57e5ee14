"""Decodes a training set into values, to be compared with the tables that it was made from."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from longtail.artifacts import RunPaths
from longtail.config import Config
from longtail.dataset.build_training_set import build_training_set
from longtail.dataset.training_set import PARTS, load_training_set
from longtail.features.encoding import EncodedRows
from longtail.features.schema import Feature
from longtail.features.vocabulary import Vocabulary, load_vocabularies

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Example:
    """One training example: the sorted values of each feature, without the key."""

    moment: datetime
    query: dict[str, list[Any]]
    item: dict[str, list[Any]]


def decoded_examples(config: Config, as_of: date) -> dict[tuple[str, str], Example]:
    """Build the training set of a day, and return its examples, of all parts, by query and item.

    The key is a feature too, and is checked to be that of the example.
    """
    paths = RunPaths(config, as_of)
    build_training_set(config, as_of)
    training_set = load_training_set(paths.training_set)
    vocabularies = load_vocabularies(paths.vocabularies)
    schema = training_set.schema
    query_rows = _decoded_rows(training_set.query_rows, schema.query, vocabularies)
    item_rows = _decoded_rows(training_set.item_rows, schema.item, vocabularies)
    query_ids = training_set.query_ids.to_pylist()
    item_ids = training_set.item_ids.to_pylist()
    examples: dict[tuple[str, str], Example] = {}
    for part in PARTS:
        of_part = getattr(training_set, part)
        for query_row, item_row, moment in zip(
            of_part.query_row.tolist(),
            of_part.item_row.tolist(),
            of_part.timestamp.tolist(),
            strict=True,
        ):
            query = query_ids[training_set.query_of_row[query_row]]
            item = item_ids[training_set.item_of_row[item_row]]
            query_key, query_values = query_rows[query_row]
            item_key, item_values = item_rows[item_row]
            # A key without a row in the tables is outside the vocabulary.
            assert query_key in ([], [query])
            assert item_key in ([], [item])
            assert (query, item) not in examples
            at = EPOCH + timedelta(microseconds=moment)
            examples[query, item] = Example(at, query_values, item_values)
    return examples


def _decoded_rows(
    rows: EncodedRows, features: tuple[Feature, ...], vocabularies: dict[str, Vocabulary]
) -> list[tuple[list[Any], dict[str, list[Any]]]]:
    """Return the key and the other features of every row."""
    names = [vocabularies[feature.table].values.to_pylist() for feature in features]
    offsets, values = rows.offsets.tolist(), rows.values.tolist()
    decoded = []
    for row in range(rows.num_rows):
        cells = [
            sorted(names[f][code] for code in values[offsets[place] : offsets[place + 1]])
            for f, place in enumerate(range(row * len(features), (row + 1) * len(features)))
        ]
        key, others = cells[0], cells[1:]
        by_name = {f.name: c for f, c in zip(features[1:], others, strict=True)}
        decoded.append((key, by_name))
    return decoded
