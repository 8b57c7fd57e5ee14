"""The stage that measures a version: exact retrieval on the test part of its day, and health."""

import logging
import time
from typing import cast

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
from longtail.evaluation.baselines.stage import baselines_fingerprint, tuned_baselines
from longtail.evaluation.results import Baselines, Evaluation, Health, Session, StoredEvaluation
from longtail.evaluation.served_comparison import (
    compare_with_served,
    compared_with,
    version_to_beat,
)
from longtail.fingerprints import file_hash, fingerprint, required_stamp, source_hash

log = logging.getLogger("longtail.evaluation")

RECALL_PLOT = "recall.png"
CALIBRATION_PLOT = "calibration.png"


def evaluate_version(config: Config, version: str, *, baselines: bool = False) -> Evaluation:
    """Measure a version on the test part of its day, and compare it with the served version.

    Writes `metrics.json`, `recall.png` and `calibration.png` into the version's folder, unless they
    are up to date.
    A committed version is never written to: if the served version has changed since, the new
    figures are only returned.

    Args:
        config: the project; `evaluation`, `calibration`, `memory`, `training.seed` and
            `gate.baselines` are read.
        version: a trained version.
        baselines: return the baselines too (the file always has them).

    Returns:
        The content of `metrics.json`, see `embedding_health`, `linear_probes` and
        `compare_with_served`. `against_served` is None if there is no version to compare with.

    Raises:
        InputError: there is no such version.
        LongtailError: the version is not trained to the end, the training set of its day has
            changed since, or its vectors are not finite.
    """
    paths = VersionPaths(config, version)
    run = RunPaths(config, parse_version_day(version))
    _check_trained(paths, run)
    # All that the figures depend on, except the served version, which changes on its own.
    identity = fingerprint(
        required_stamp(run.training_set, made_by="dataset")["fingerprint"],
        file_hash(paths.encoder),
        config.evaluation.model_dump(mode="json"),
        config.calibration.model_dump(mode="json"),
        config.memory.model_dump(mode="json"),
        config.training.seed,
        baselines_fingerprint(config, parse_version_day(version)) if _tunes(config) else None,
        source_hash("longtail.evaluation.evaluate"),
    )
    served = version_to_beat(config, version)
    if paths.metrics.is_file():
        stored: StoredEvaluation = read_json(paths.metrics)
        if stored["fingerprint"] == identity and served in (None, compared_with(stored)):
            log.info("metrics of %s are up to date", version)
            return _without_fingerprint(stored, baselines)
    document: StoredEvaluation = {**_measure(config, version, served), "fingerprint": identity}
    if paths.committed:
        log.info("version %s is committed: its metrics.json stays as it is", version)
    else:
        _draw(paths, document)
        write_json(paths.metrics, document)
    return _without_fingerprint(document, baselines)


def _check_trained(paths: VersionPaths, run: RunPaths) -> None:
    """Refuse a version that does not exist, is not finished, or belongs to other data."""
    if not paths.folder.is_dir():
        raise InputError(
            f"there is no version {paths.version!r}: `longtail versions` lists all versions"
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
            "run `longtail train` to train a version on the new data"
        )


def _measure(config: Config, version: str, served: str | None) -> Evaluation:
    """Encode queries and catalogue once, and compute every figure from those vectors."""
    # Imported here because torch takes seconds, which an up-to-date version must not cost.
    from longtail.dataset.training_set import load_training_set
    from longtail.encoder.score_vectors import as_queries, calibrated, popularity_bias
    from longtail.encoder.torch_encoder import load_encoder
    from longtail.evaluation.baselines.untuned import baseline_metrics
    from longtail.evaluation.calibration import measure_calibration
    from longtail.evaluation.coverage import RETRIEVED, ranks_and_retrievals
    from longtail.evaluation.health import embedding_health
    from longtail.evaluation.held_out import held_out_pairs
    from longtail.evaluation.linear_probes import linear_probes
    from longtail.evaluation.memory.metrics import measure_memory
    from longtail.evaluation.metrics import metrics_by_slice
    from longtail.evaluation.session_metrics import session_metrics
    from longtail.evaluation.slices import item_slices
    from longtail.evaluation.vector_norms import encode_with_norms

    start = time.monotonic()
    as_of = parse_version_day(version)
    training_set = load_training_set(RunPaths(config, as_of).training_set)
    held_out = held_out_pairs(training_set, "test")
    encoder = load_encoder(VersionPaths(config, version).folder)
    item_rows = training_set.item_rows.take(training_set.catalogue_row[held_out.candidate])
    query_rows = training_set.query_rows.take(held_out.query_row)
    query_vectors = encoder.encode("query", query_rows)
    scored_items, item_norms = encode_with_norms(encoder, item_rows)
    if not (np.isfinite(query_vectors).all() and np.isfinite(scored_items).all()):
        raise LongtailError(
            f"version {version} gives vectors that are not finite: training went wrong; train "
            "again with lower learning rates"
        )
    # The health is that of the unit vectors; scores also count biases, learned and calibrated.
    item_vectors = np.ascontiguousarray(scored_items[:, : encoder.output_dim])
    temperature = read_json(VersionPaths(config, version).config)["loss"]["temperature"]
    calibration = measure_calibration(
        config, training_set, encoder, scored_items, temperature=temperature
    )
    if beta := calibration["beta"]:
        popularity = popularity_bias(
            training_set.train_count[held_out.candidate], beta, temperature
        )
        scored_items = calibrated(scored_items, encoder.output_dim, popularity)
    scored_queries = as_queries(query_vectors, scored_items.shape[1])
    # Retrieval. Ranks and retrieval counts share one pass over the scores, the costliest part.
    train_count = training_set.train_count[held_out.candidate]
    slices = item_slices(train_count, config.evaluation.head_fraction)
    ranks, times_retrieved = ranks_and_retrievals(
        scored_queries, scored_items, held_out, query_batch_size=config.evaluation.query_batch_size
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
    # With the memory: what `recommend` answers.
    memory = measure_memory(
        config,
        training_set,
        encoder,
        held_out,
        scored_queries,
        scored_items,
        slices,
        temperature=temperature,
    )
    session: Session | None = None
    if encoder.schema.history is not None:
        session = session_metrics(
            lambda rows: as_queries(encoder.encode("query", rows), scored_items.shape[1]),
            query_rows,
            scored_items,
            held_out,
            ranks,
            slices,
            query_batch_size=config.evaluation.query_batch_size,
        )
        log.info(
            "%s: recall@50 %.4f by the history alone, %.4f with the id; %d queries have a history",
            version,
            session["metrics"]["overall"]["recall@50"],
            session["with_id"]["overall"]["recall@50"],
            session["num_queries"],
        )
    # Health. The gate does not read it, so its time is logged apart from that of retrieval.
    start = time.monotonic()
    vector_health = embedding_health(
        query_vectors,
        item_vectors,
        held_out,
        train_count=train_count,
        times_retrieved=times_retrieved,
        slices=slices,
        item_norms=item_norms,
        seed=config.training.seed,
    )
    probes = linear_probes(
        item_rows,
        encoder.schema.item,
        lambda rows: encoder.encode("item", rows),
        seed=config.training.seed,
    )
    health: Health = {**vector_health, "probes": probes}
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
            scored_queries,
            scored_items,
            slices,
        )
    baselines: Baselines = baseline_metrics(
        held_out, train_count, slices, seed=config.training.seed
    )
    if _tunes(config):
        baselines["tuned"] = tuned_baselines(config, as_of)
    evaluation: Evaluation = {
        "version": version,
        "as_of": as_of.isoformat(),
        "metrics": metrics,
        "calibration": calibration,
        "memory": memory,
        "baselines": baselines,
        "num_pairs_without_item": held_out.num_pairs_without_item,
        "health": health,
        "against_served": against_served,
    }
    if session is not None:
        evaluation["session"] = session
    return evaluation


def _tunes(config: Config) -> bool:
    """Return whether the baselines that have to be tuned are measured."""
    return config.gate.baselines != "off"


def _without_fingerprint(document: StoredEvaluation, baselines: bool) -> Evaluation:
    """Return the document for callers: without the fingerprint, and with baselines if asked for."""
    left_out = {"fingerprint"} if baselines else {"fingerprint", "baselines"}
    kept = {name: value for name, value in document.items() if name not in left_out}
    return cast("Evaluation", kept)


def _draw(paths: VersionPaths, document: StoredEvaluation) -> None:
    """Write the plots of recall by slice, and of the calibration's curve if there is one."""
    from longtail.evaluation.calibration_plot import save_calibration_plot
    from longtail.evaluation.recall_plot import save_recall_plot

    popularity = document["baselines"]["popularity_ranking"]
    with replaced_file(paths.folder / RECALL_PLOT) as temporary:
        save_recall_plot(temporary, document["metrics"], popularity, f"Version {paths.version}")
    calibration = document["calibration"]
    if calibration["curve"]:
        title = f"Version {paths.version}: validation part by the weight of popularity (beta)"
        with replaced_file(paths.folder / CALIBRATION_PLOT) as temporary:
            save_calibration_plot(temporary, calibration, title)
