"""The fixed version beside the served one, so that small losses cannot add up.

Each refresh may lose a little against the version before it. Against one version that stays the
same, twenty such losses are seen.
"""

import logging

from longtail.artifacts import (
    RunPaths,
    VersionPaths,
    gate_reference,
    parse_version_day,
    read_json,
    write_json,
)
from longtail.config import Config
from longtail.evaluation.results import Comparison, NoComparison

log = logging.getLogger("longtail.evaluation")


def reference_version(config: Config) -> str | None:
    """Return the version that all new ones are measured against; None if there is none.

    A reference that was removed from disk is none.
    """
    file = gate_reference(config)
    if not file.is_file():
        return None
    version = str(read_json(file)["version"])
    paths = VersionPaths(config, version)
    return version if paths.encoder.is_file() and paths.embeddings.is_file() else None


def set_reference(config: Config, version: str) -> None:
    """Make a version the reference of all later ones."""
    write_json(gate_reference(config), {"version": version})
    log.info("later versions are measured against %s, too, as the reference", version)


def compare_with_reference(
    config: Config, version: str, reference: str
) -> Comparison | NoComparison:
    """Measure a version and the reference on the same pairs, candidates and features.

    See `compare_with_served`.
    """
    # Imported here because torch takes seconds, which a version without a reference must not cost.
    from longtail.dataset.training_set import load_training_set
    from longtail.encoder.torch_encoder import load_encoder
    from longtail.evaluation.encoder_ranks import calibrated_vectors
    from longtail.evaluation.held_out import held_out_pairs
    from longtail.evaluation.served_comparison import compare_with_served
    from longtail.evaluation.slices import item_slices

    training_set = load_training_set(RunPaths(config, parse_version_day(version)).training_set)
    held_out = held_out_pairs(training_set, "test")
    paths = VersionPaths(config, version)
    train_count = training_set.train_count[held_out.candidate]
    # An evaluation of an older release has no calibration.
    calibration = read_json(paths.metrics).get("calibration", {}) if paths.metrics.is_file() else {}
    query_vectors, item_vectors = calibrated_vectors(
        load_encoder(paths.folder),
        training_set.query_rows.take(held_out.query_row),
        training_set.item_rows.take(training_set.catalogue_row[held_out.candidate]),
        train_count,
        beta=calibration.get("beta", 0.0),
        temperature=read_json(paths.config)["loss"]["temperature"],
    )
    return compare_with_served(
        config,
        version,
        reference,
        training_set,
        held_out,
        query_vectors,
        item_vectors,
        item_slices(train_count, config.evaluation.head_fraction),
    )
