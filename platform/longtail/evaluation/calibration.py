"""The weight of popularity in a version's scores: its curve on the validation part, and a choice.

score = cosine / temperature + beta * log(links + 1/2), with one number beta for all items. It is
the dial between head and tail that needs no training.
"""

import logging
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from longtail.config import Config
from longtail.dataset.training_set import TrainingSet
from longtail.encoder.score_vectors import as_queries, popularity_bias
from longtail.encoder.torch_encoder import Encoder
from longtail.evaluation.held_out import HeldOut, fewer_queries, held_out_pairs
from longtail.evaluation.metrics import Vectors, metrics_by_slice, rank_pairs, score_batches
from longtail.evaluation.objective import objective
from longtail.evaluation.results import Calibration, CalibrationPoint
from longtail.evaluation.slices import item_slices

log = logging.getLogger("longtail.evaluation")

BETAS = (-0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
NUM_QUERIES = 3_000
"""Validation queries that the curve is measured on; of more, always the same choice."""


def measure_calibration(
    config: Config,
    training_set: TrainingSet,
    encoder: Encoder,
    item_vectors: Vectors,
    *,
    temperature: float,
) -> Calibration:
    """Measure the curve over beta on the validation part, and choose the version's beta.

    Args:
        config: the sections `calibration` and `evaluation` are read.
        training_set: the training set of the day.
        encoder: the version's.
        item_vectors: `[C, dim]` of the whole catalogue, or `[C, dim + 1]` with learned biases.
        temperature: the temperature that the version was trained with.

    Returns:
        The choice, the reason for it, and the metrics of each beta. Links are those of the training
        part.
    """
    start = time.process_time()
    wanted = config.calibration.popularity
    questions = held_out_pairs(fewer_queries(training_set, NUM_QUERIES), "validation")
    if not len(questions.pair_item):
        beta = wanted if isinstance(wanted, float) else 0.0
        reason = "there are no validation pairs"
        return {"beta": beta, "temperature": temperature, "reason": reason, "curve": []}
    betas = sorted({*BETAS, wanted}) if isinstance(wanted, float) else list(BETAS)
    train_count = np.asarray(training_set.train_count)[questions.candidate]
    query_vectors = encoder.encode("query", training_set.query_rows.take(questions.query_row))
    ranks = ranks_by_beta(
        as_queries(query_vectors, item_vectors.shape[1]),
        item_vectors,
        questions,
        popularity_bias(train_count, 1.0, temperature),
        betas,
        query_batch_size=config.evaluation.query_batch_size,
    )
    head_fraction = config.evaluation.head_fraction
    slices = item_slices(train_count, head_fraction)
    terms = config.evaluation.objective
    curve: list[CalibrationPoint] = [
        {
            "beta": beta,
            "objective": objective(
                each, questions, train_count, terms, head_fraction=head_fraction
            ),
            "metrics": metrics_by_slice(each, questions, slices),
        }
        for beta, each in zip(betas, ranks, strict=True)
    ]
    best = best_beta(curve)
    log.info(
        "popularity: beta %g has the best objective on the validation part; %d values in %.1f s "
        "of processor time",
        best,
        len(betas),
        time.process_time() - start,
    )
    if isinstance(wanted, float):
        beta, reason = wanted, "`calibration.popularity`"
    elif wanted == "fitted":
        beta, reason = best, "the best objective on the validation part"
    else:
        beta, reason = 0.0, "`calibration.popularity` is off"
    return {"beta": beta, "temperature": temperature, "reason": reason, "curve": curve}


def best_beta(curve: Sequence[CalibrationPoint]) -> float:
    """Return the beta with the best objective; among equals, the one nearest to zero."""
    return max(curve, key=lambda point: (point["objective"], -abs(point["beta"])))["beta"]


def ranks_by_beta(
    query_vectors: Vectors,
    item_vectors: Vectors,
    held_out: HeldOut,
    popularity: npt.NDArray[np.float32],
    betas: Sequence[float],
    *,
    query_batch_size: int,
) -> list[npt.NDArray[np.int64]]:
    """Rank every held-out item for each beta; the inner products are computed only once.

    Args:
        query_vectors: `[Q, dim]`.
        item_vectors: `[C, dim]`.
        held_out: the pairs, and the items that a query is not shown.
        popularity: `[C]` what a beta of 1 adds to each item's scores.
        betas: the weights to try.
        query_batch_size: queries scored at a time; a batch takes `8 * batch * C` bytes.

    Returns:
        For each beta `[P]` ranks, as `similarity_ranks` returns them.
    """
    ranks = [np.empty(len(held_out.pair_query), np.int64) for _ in betas]
    for first, scores in score_batches(query_vectors, item_vectors, held_out, query_batch_size):
        moved = np.empty_like(scores)
        for beta, of_beta in zip(betas, ranks, strict=True):
            np.add(scores, np.float32(beta) * popularity, out=moved)
            rank_pairs(moved, first, held_out, of_beta)
    return ranks
