"""The work with a full history for every query: the most that histories can cost."""

from dataclasses import replace

import numpy as np

from longtail.config import HistoryConfig
from longtail.dataset.histories import Histories, item_codes, with_newest
from longtail.features.history_feature import with_history
from training.work import Work, with_settings

LENGTH = 50


def with_full_histories(work: Work) -> Work:
    """Return the work with a history of `LENGTH` random items for every query.

    Real histories are shorter where queries have fewer interactions. What is dropped is dropped at
    the default rates.

    Args:
        work: a project without a history of its own.
    """
    s = work.training_set
    assert s.schema.history is None, "the project has a history of its own"
    num_queries, num_items = len(s.query_ids), len(s.item_ids)
    # More than a history holds, for some are drawn twice, and some have no row of their own.
    drawn = np.random.default_rng(0).integers(num_items, size=(num_queries, 2 * LENGTH))
    histories = Histories.of_pairs(
        np.repeat(np.arange(num_queries), 2 * LENGTH),
        drawn.ravel(),
        np.zeros(drawn.size, np.int64),
        code=item_codes(s.item_rows, s.item_of_row, num_items),
        num_queries=num_queries,
        length=LENGTH,
        timed=False,
    )
    history = HistoryConfig(length=LENGTH)
    num_sourced = len(s.schema.query)
    rows = with_newest(s.query_rows, s.query_of_row, histories, num_sourced=num_sourced)
    schema = with_history(s.schema, history)
    return replace(
        work,
        training_set=replace(s, schema=schema, query_rows=rows, histories=histories),
        config=with_settings(work.config, history=history.model_dump()),
    )
