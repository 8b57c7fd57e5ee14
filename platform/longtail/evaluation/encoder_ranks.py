"""Ranks of held-out pairs by an encoder that is in memory, such as a model in training."""

import numpy as np
import numpy.typing as npt

from longtail.dataset.training_set import TrainingSet
from longtail.encoder.score_vectors import as_queries, calibrated, popularity_bias
from longtail.encoder.torch_encoder import Encoder
from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.metrics import similarity_ranks
from longtail.features.encoding import EncodedRows


def encode_and_rank(
    encoder: Encoder, training_set: TrainingSet, held_out: HeldOut, *, query_batch_size: int
) -> npt.NDArray[np.int64]:
    """Encode the queries and candidates, and rank every held-out item.

    Args:
        encoder: the model.
        training_set: the training set that `held_out` was made from.
        held_out: the pairs, and the items that a query is not shown.
        query_batch_size: queries scored at a time.

    Returns:
        `[P]` ranks, see `metrics.similarity_ranks`.
    """
    item_rows = training_set.catalogue_row[held_out.candidate]
    return similarity_ranks(
        encoder.encode_scored("query", training_set.query_rows.take(held_out.query_row)),
        encoder.encode_scored("item", training_set.item_rows.take(item_rows)),
        held_out,
        query_batch_size=query_batch_size,
    )


def calibrated_vectors(
    encoder: Encoder,
    query_rows: EncodedRows,
    item_rows: EncodedRows,
    train_count: npt.NDArray[np.int64],
    *,
    beta: float,
    temperature: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Encode queries and items into vectors with inner products that are a version's scores.

    Args:
        encoder: the version's.
        query_rows: Q rows.
        item_rows: C rows.
        train_count: `[C]` training interactions of each item.
        beta: the weight of popularity in the version's scores; 0 for a version without one.
        temperature: the temperature that it was trained with.

    Returns:
        `[Q, dim]` and `[C, dim]`, one number longer where items have a bias.
    """
    items = encoder.encode_scored("item", item_rows)
    if beta:
        popularity = popularity_bias(train_count, beta, temperature)
        items = calibrated(items, encoder.output_dim, popularity)
    return as_queries(encoder.encode("query", query_rows), items.shape[1]), items
