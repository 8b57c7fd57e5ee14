"""The share of each vocabulary that no training example has."""

from collections.abc import Mapping

import numpy as np

from longtail.dataset.training_set import TrainingSet
from longtail.features.encoding import TAKE_BLOCK
from longtail.features.vocabulary import Vocabulary


def untrained_shares(
    training_set: TrainingSet, vocabularies: Mapping[str, Vocabulary]
) -> dict[str, float]:
    """Return the share of each table's values that stand in no row of a training example.

    Only the self-supervised task and uniform negatives can train the rows of such values. A hashed
    vocabulary has buckets, and the share is that of buckets.

    Args:
        training_set: its training part is read.
        vocabularies: by table name.

    Returns:
        The shares, by table name.
    """
    seen = {table: np.zeros(v.num_rows, np.bool_) for table, v in vocabularies.items()}
    s = training_set
    for features, rows, used in (
        (s.schema.query, s.query_rows, s.train.query_row),
        (s.schema.item, s.item_rows, s.train.item_row),
    ):
        # A row of many examples is read once.
        chosen = np.flatnonzero(np.bincount(used, minlength=rows.num_rows))
        for start in range(0, len(chosen), TAKE_BLOCK):
            values, lengths = rows.columns(chosen[start : start + TAKE_BLOCK])
            ends = np.cumsum([0, *lengths.sum(axis=1)])
            for position, feature in enumerate(features):
                if not feature.is_dense:
                    seen[feature.table][values[ends[position] : ends[position + 1]]] = True
    # A free row of a vocabulary (null) has no value that could be trained.
    shares = {}
    for table, vocabulary in vocabularies.items():
        num_values = vocabulary.num_rows
        if vocabulary.buckets is None:
            num_values = len(vocabulary.values) - vocabulary.values.null_count
        shares[table] = float(1.0 - seen[table].sum() / num_values) if num_values else 0.0
    return shares
