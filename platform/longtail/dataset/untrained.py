"""How much of a vocabulary no training example speaks of."""

from collections.abc import Mapping

import numpy as np

from longtail.dataset.training_set import TrainingSet
from longtail.features.encoding import TAKE_BLOCK
from longtail.features.vocabulary import Vocabulary


def untrained_shares(
    training_set: TrainingSet, vocabularies: Mapping[str, Vocabulary]
) -> dict[str, float]:
    """The share of each table's values that stand in no row of a training example.

    Such a value's row is learned by the self-supervised task and uniform negatives alone, or not
    at all. Of a hashed vocabulary it is the share of buckets.

    Args:
        training_set: its training part is read.
        vocabularies: by table name.
    """
    seen = {table: np.zeros(v.num_rows, np.bool_) for table, v in vocabularies.items()}
    s = training_set
    for features, rows, used in (
        (s.schema.query, s.query_rows, s.train.query_row),
        (s.schema.item, s.item_rows, s.train.item_row),
    ):
        chosen = np.flatnonzero(np.bincount(used, minlength=rows.num_rows))
        for start in range(0, len(chosen), TAKE_BLOCK):
            values, lengths = rows.columns(chosen[start : start + TAKE_BLOCK])
            ends = np.cumsum([0, *lengths.sum(axis=1)])
            for position, feature in enumerate(features):
                if not feature.is_dense:
                    seen[feature.table][values[ends[position] : ends[position + 1]]] = True
    shares = {}
    for table, vocabulary in vocabularies.items():
        num_values = vocabulary.num_rows
        if vocabulary.buckets is None:
            num_values = len(vocabulary.values) - vocabulary.values.null_count
        shares[table] = float(1.0 - seen[table].sum() / num_values) if num_values else 0.0
    return shares
