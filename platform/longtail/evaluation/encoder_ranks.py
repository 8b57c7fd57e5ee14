"""Ranks of held-out pairs by an encoder that is in memory, such as a model in training."""

import numpy as np
import numpy.typing as npt

from longtail.dataset.training_set import TrainingSet
from longtail.encoder.torch_encoder import Encoder
from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.metrics import similarity_ranks


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
