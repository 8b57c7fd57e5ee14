"""The stage that builds the training set: point-in-time features, encoded and split."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import numpy as np

from longtail.artifacts import STAMP, RunPaths, read_json, replaced_folder, write_json
from longtail.config import Config
from longtail.dataset.interactions import pair_places, read_interactions
from longtail.dataset.side_rows import known_keys, side_rows
from longtail.dataset.splits import TEST, TRAIN, VALIDATION, split_examples
from longtail.dataset.training_set import Examples, TrainingSet, write_training_set
from longtail.dataset.untrained_values import untrained_shares
from longtail.features.feast.repository import FeatureRepository
from longtail.features.schema import SIDES, Schema
from longtail.features.vocabulary import SCHEMA_FILE, load_vocabularies
from longtail.fingerprints import fingerprint, is_current, required_stamp, source_hash

log = logging.getLogger("longtail.dataset")


def build_training_set(config: Config, as_of: date) -> dict[str, Any]:
    """Join every interaction with the features of its own time, encode, split, and write.

    Nothing is done where the training set is up to date.

    Args:
        config: the whole configuration.
        as_of: the day.

    Returns:
        The stamp: `{"fingerprint", "num_train", "num_validation", "num_test", "num_items",
        "num_queries", "num_item_rows", "num_query_rows", "untrained_shares"}`, the last by table
        (see `untrained_shares`).

    Raises:
        LongtailError: an earlier stage has not finished, or Feast lost or repeated rows.
        InputError: no interaction is left to train on.
    """
    # Inputs, settings and code make the fingerprint: an equal one means that nothing has changed.
    paths = RunPaths(config, as_of)
    catalogue = required_stamp(paths.catalogue, made_by="dataset")
    vocabulary_stamp = required_stamp(paths.vocabularies, made_by="dataset")
    identity = fingerprint(
        catalogue["fingerprint"],
        vocabulary_stamp["fingerprint"],
        config.dataset.model_dump(mode="json"),
        config.history.length,
        source_hash("longtail.dataset.build_training_set"),
    )
    if is_current(paths.training_set, identity):
        log.info("training set of %s is up to date", as_of)
        return dict(required_stamp(paths.training_set, made_by="dataset"))

    schema = Schema.from_json(read_json(paths.vocabularies / SCHEMA_FILE))
    vocabularies = load_vocabularies(paths.vocabularies)
    repository = FeatureRepository(config)
    interactions = read_interactions(
        paths.catalogue_files.interactions,
        known_queries=known_keys(paths, schema, "query"),
        known_items=known_keys(paths, schema, "item"),
    )
    # The two sides and the places of the pairs do not need each other, so they run side by side.
    with ThreadPoolExecutor(3) as pool:
        places = pool.submit(pair_places, interactions, unordered=schema.shared_ids)
        query, item = pool.map(
            lambda side: side_rows(schema, side, paths, interactions, repository, vocabularies),
            SIDES,
        )
    part = split_examples(places.result(), interactions.when, config.dataset)

    def examples(chosen: int) -> Examples:
        """Return the interactions of a part."""
        rows = np.flatnonzero(part == chosen)
        return Examples(
            query.example_row[rows],
            item.example_row[rows],
            interactions.weight[rows],
            interactions.when[rows],
        )

    train = examples(TRAIN)
    training_set = TrainingSet(
        schema=schema,
        item_rows=item.rows,
        query_rows=query.rows,
        item_ids=interactions.item_ids,
        catalogue_row=item.latest_row,
        item_of_row=item.entity_of_row,
        first_seen=item.first_seen,
        train_count=np.bincount(
            item.entity_of_row[train.item_row], minlength=len(interactions.item_ids)
        ),
        query_ids=interactions.query_ids,
        latest_query_row=query.latest_row,
        query_of_row=query.entity_of_row,
        train=train,
        validation=examples(VALIDATION),
        test=examples(TEST),
    )
    if schema.history is not None:
        training_set = training_set.with_histories(config.history.length)
    # The folder appears only when all of its files are written, with a stamp that says so.
    untrained = untrained_shares(training_set, vocabularies)
    with replaced_folder(paths.training_set) as folder:
        write_training_set(folder, training_set)
        stamp = {
            "fingerprint": identity,
            "num_train": len(train),
            "num_validation": len(training_set.validation),
            "num_test": len(training_set.test),
            "num_items": len(interactions.item_ids),
            "num_queries": len(interactions.query_ids),
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
