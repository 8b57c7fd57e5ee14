"""Figures on the validation part while a model is in training: what `checkpoints.best_by` names.

Training imports nothing of evaluation; it is handed a function by name.
"""

from longtail.config import Config
from longtail.dataset.training_set import TrainingSet
from longtail.encoder.torch_encoder import Encoder
from longtail.errors import InputError
from longtail.evaluation.held_out import fewer_queries, held_out_pairs
from longtail.evaluation.metrics import retrieval_metrics, similarity_ranks


def recall_at_50(encoder: Encoder, training_set: TrainingSet, config: Config) -> float:
    """Recall@50 on the validation part, over the whole catalogue.

    Of many validation queries a fixed random choice is asked, `study.max_validation_queries`.

    Args:
        encoder: the model so far.
        training_set: its validation part is read.
        config: evaluation and study sections are read.

    Raises:
        InputError: the validation part has no pair to be asked for.
    """
    asked = fewer_queries(training_set, config.study.max_validation_queries)
    questions = held_out_pairs(asked, "validation")
    if not len(questions.pair_item):
        raise InputError(
            "`checkpoints.best_by` measures on the validation part, which has no pair of a query "
            "and an item in the catalogue: raise `dataset.validation_fraction`, or leave it out"
        )
    rows = training_set.catalogue_row[questions.candidate]
    ranks = similarity_ranks(
        encoder.encode("query", training_set.query_rows.take(questions.query_row)),
        encoder.encode("item", training_set.item_rows.take(rows)),
        questions,
        query_batch_size=config.evaluation.query_batch_size,
    )
    return float(retrieval_metrics(ranks, questions.pair_query)["recall@50"])
