"""Metrics on the validation part while a model is in training, for `checkpoints.best_by`.

Training does not import evaluation: the configuration names a function of this file.
"""

from longtail.config import Config
from longtail.dataset.training_set import TrainingSet
from longtail.encoder.torch_encoder import Encoder
from longtail.errors import InputError
from longtail.evaluation.encoder_ranks import encode_and_rank
from longtail.evaluation.held_out import fewer_queries, held_out_pairs
from longtail.evaluation.metrics import retrieval_metrics
from longtail.evaluation.results import Metrics


def recall_at_50(encoder: Encoder, training_set: TrainingSet, config: Config) -> float:
    """Return recall@50 on the validation part, over the whole catalogue.

    At most `study.max_validation_queries` queries are ranked, a random choice that is always the
    same.

    Args:
        encoder: the model so far.
        training_set: the training set; its validation part is read.
        config: the project; the sections `evaluation` and `study` are read.

    Raises:
        InputError: the validation part has no pair that can be ranked.
    """
    return _metrics(encoder, training_set, config)["recall@50"]


def map_at_50(encoder: Encoder, training_set: TrainingSet, config: Config) -> float:
    """Return the mean average precision of the first 50, as `recall_at_50` measures recall."""
    return _metrics(encoder, training_set, config)["map@50"]


def _metrics(encoder: Encoder, training_set: TrainingSet, config: Config) -> Metrics:
    """Return the metrics of all validation pairs together."""
    asked = fewer_queries(training_set, config.study.max_validation_queries)
    questions = held_out_pairs(asked, "validation")
    if not len(questions.pair_item):
        raise InputError(
            "`checkpoints.best_by` or `training.early_stopping_epochs` measures on the validation "
            "part, which has no pair of a query and an item in the catalogue: raise "
            "`dataset.validation_fraction`, or remove the setting"
        )
    ranks = encode_and_rank(
        encoder, training_set, questions, query_batch_size=config.evaluation.query_batch_size
    )
    return retrieval_metrics(ranks, questions.pair_query)
