"""The stage that measures a version: exact retrieval on the test part of its day."""

import logging
import time
from typing import Any

import numpy as np

from longtail.artifacts import (
    RunPaths,
    VersionPaths,
    parse_version_day,
    read_json,
    replaced_file,
    write_json,
)
from longtail.config import Config
from longtail.errors import InputError, LongtailError
from longtail.evaluation.served_comparison import compare_with_served, version_to_beat
from longtail.fingerprints import file_hash, fingerprint, required_stamp, source_hash

log = logging.getLogger("longtail.evaluation")

RECALL_PLOT = "recall.png"


def evaluate_version(config: Config, version: str, *, baselines: bool = False) -> dict[str, Any]:
    """Measure a version on the test part of its day, and against the version served now.

    Writes `metrics.json` and `recall.png` into the version's folder, unless they stand there
    already, made from the same. A committed version is never written to: where the served version
    has changed since, the new figures are only returned.

    Args:
        config: the project; the sections `evaluation` and `training.seed` are read.
        version: a trained version.
        baselines: return the two baselines too (the file always has them).

    Returns:
        `{"version", "as_of", "metrics": {slice: {"recall@10", "recall@50", "map@10", "map@50",
        "num_pairs"}}, "num_pairs_without_item", "health": see `embedding_health`, and "probes": see
        `linear_probes`, "against_served": see `compare_with_served`, or None, "baselines":
        {"popularity_ranking", "random_ranking"} of the form of `metrics`}`

    Raises:
        InputError: there is no such version.
        LongtailError: it is not trained to the end, its day's training set is another one now, or
            its vectors are not finite.
    """
    paths = VersionPaths(config, version)
    run = RunPaths(config, parse_version_day(version))
    _check_trained(paths, run)
    identity = fingerprint(
        required_stamp(run.training_set, made_by="dataset")["fingerprint"],
        file_hash(paths.encoder),
        config.evaluation.model_dump(mode="json"),
        config.training.seed,
        source_hash("longtail.evaluation.evaluate"),
    )
    served = version_to_beat(config, version)
    if paths.metrics.is_file():
        stored = read_json(paths.metrics)
        if stored["fingerprint"] == identity and served in (None, _compared_with(stored)):
            log.info("metrics of %s are up to date", version)
            return _document(stored, baselines)
    document = {**_measure(config, version, served), "fingerprint": identity}
    if paths.committed:
        log.info("version %s is committed: its metrics.json stays as it is", version)
    else:
        _draw(paths, document)
        write_json(paths.metrics, document)
    return _document(document, baselines)


def _check_trained(paths: VersionPaths, run: RunPaths) -> None:
    if not paths.folder.is_dir():
        raise InputError(
            f"there is no version {paths.version!r}: `longtail versions` lists what there is"
        )
    if not paths.encoder.is_file():
        raise LongtailError(
            f"version {paths.version} has no {paths.encoder.name}: "
            "run `longtail train` to finish it"
        )
    own = required_stamp(paths.vocabularies, made_by="train")["fingerprint"]
    if own != required_stamp(run.vocabularies, made_by="dataset")["fingerprint"]:
        raise LongtailError(
            f"the data of {run.folder.name} has changed since version {paths.version} was trained: "
            "run `longtail train` for a version of the new data"
        )


def _measure(config: Config, version: str, served: str | None) -> dict[str, Any]:
    from longtail.dataset.training_set import load_training_set
    from longtail.encoder.torch_encoder import load_encoder
    from longtail.evaluation.baselines import baseline_metrics
    from longtail.evaluation.coverage import RETRIEVED, ranks_and_retrievals
    from longtail.evaluation.health import embedding_health
    from longtail.evaluation.held_out import held_out_pairs
    from longtail.evaluation.metrics import metrics_by_slice
    from longtail.evaluation.norms import encode_with_norms
    from longtail.evaluation.probes import linear_probes
    from longtail.evaluation.slices import item_slices

    start = time.monotonic()
    as_of = parse_version_day(version)
    training_set = load_training_set(RunPaths(config, as_of).training_set)
    held_out = held_out_pairs(training_set, "test")
    encoder = load_encoder(VersionPaths(config, version).folder)
    item_rows = training_set.item_rows.take(training_set.catalogue_row[held_out.candidate])
    query_vectors = encoder.encode("query", training_set.query_rows.take(held_out.query_row))
    item_vectors, item_norms = encode_with_norms(encoder, item_rows)
    if not (np.isfinite(query_vectors).all() and np.isfinite(item_vectors).all()):
        raise LongtailError(
            f"version {version} gives vectors that are not finite: training went wrong; train "
            "again with lower learning rates"
        )
    train_count = training_set.train_count[held_out.candidate]
    slices = item_slices(train_count, config.evaluation.head_fraction)
    ranks, times_retrieved = ranks_and_retrievals(
        query_vectors, item_vectors, held_out, query_batch_size=config.evaluation.query_batch_size
    )
    metrics = metrics_by_slice(ranks, held_out, slices)
    log.info(
        "%s: recall@50 %.4f overall, %.4f tail; %d pairs of %d queries over %d items in %.1f s",
        version,
        metrics["overall"]["recall@50"],
        metrics["tail"]["recall@50"],
        len(held_out.pair_query),
        held_out.num_queries,
        held_out.num_candidates,
        time.monotonic() - start,
    )
    start = time.monotonic()
    health = embedding_health(
        query_vectors,
        item_vectors,
        held_out,
        train_count=train_count,
        times_retrieved=times_retrieved,
        slices=slices,
        item_norms=item_norms,
        seed=config.training.seed,
    )
    health["probes"] = linear_probes(
        item_rows,
        encoder.schema.item,
        lambda rows: encoder.encode("item", rows),
        seed=config.training.seed,
    )
    log.info(
        "%s: effective rank %.1f of %d; %d of %d items in no query's first %d; in %.1f s",
        version,
        health["effective_rank"],
        health["dim"],
        np.count_nonzero(times_retrieved == 0),
        held_out.num_candidates,
        RETRIEVED,
        time.monotonic() - start,
    )
    against_served = None
    if served is not None:
        against_served = compare_with_served(
            config,
            version,
            served,
            training_set,
            held_out,
            query_vectors,
            item_vectors,
            slices,
        )
    return {
        "version": version,
        "as_of": as_of.isoformat(),
        "metrics": metrics,
        "baselines": baseline_metrics(held_out, train_count, slices, seed=config.training.seed),
        "num_pairs_without_item": held_out.num_pairs_without_item,
        "health": health,
        "against_served": against_served,
    }


def _compared_with(document: dict[str, Any]) -> str | None:
    against = document["against_served"]
    return str(against["version"]) if against else None


def _document(document: dict[str, Any], baselines: bool) -> dict[str, Any]:
    return {
        name: value
        for name, value in document.items()
        if name != "fingerprint" and (baselines or name != "baselines")
    }


def _draw(paths: VersionPaths, document: dict[str, Any]) -> None:
    from longtail.evaluation.recall_plot import save_recall_plot

    popularity = document["baselines"]["popularity_ranking"]
    with replaced_file(paths.folder / RECALL_PLOT) as temporary:
        save_recall_plot(temporary, document["metrics"], popularity, f"Version {paths.version}")
