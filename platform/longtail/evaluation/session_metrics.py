"""How well a session without an id is answered: queries that are known by their history alone."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.metrics import Vectors, retrieval_metrics, similarity_ranks
from longtail.evaluation.results import Metrics, Session
from longtail.evaluation.slices import Mask, Slices, each_slice
from longtail.features.encoding import EncodedRows


def session_metrics(
    encode: Callable[[EncodedRows], Vectors],
    query_rows: EncodedRows,
    item_vectors: Vectors,
    held_out: HeldOut,
    ranks: npt.NDArray[np.int64],
    slices: Slices,
    *,
    query_batch_size: int = 512,
) -> Session:
    """Measure the held-out pairs of queries that show nothing but their history.

    Queries without a training item have no history, so they and their pairs are left out, of the
    figures with the id too.

    Args:
        encode: encodes rows of queries to `[n, dim]` vectors.
        query_rows: `[Q]` the rows of the held-out queries; the history is their last feature.
        item_vectors: `[C, dim]` of the candidates.
        held_out: the pairs.
        ranks: `[P]` rank of each pair by all features of its query.
        slices: the slices of the candidates.
        query_batch_size: queries scored at a time.

    Returns:
        see `Session`.
    """
    alone = query_rows
    for feature in range(query_rows.num_features - 1):
        alone = alone.without(feature)
    # Nothing but the history is left, so a row's values are those of the history.
    has_history = np.diff(alone.offsets[:: alone.num_features]) > 0
    session_ranks = similarity_ranks(
        encode(alone), item_vectors, held_out, query_batch_size=query_batch_size
    )
    counted = has_history[held_out.pair_query]

    def measure(found: npt.NDArray[np.int64]) -> Callable[[Mask], Metrics]:
        def in_slice(members: Mask) -> Metrics:
            chosen = counted & members[held_out.pair_item]
            return retrieval_metrics(found[chosen], held_out.pair_query[chosen])

        return in_slice

    metrics = each_slice(slices, measure(session_ranks))
    with_id = each_slice(slices, measure(ranks))
    whole = with_id["overall"]["recall@50"]
    return {
        "num_queries": int(np.count_nonzero(has_history)),
        "metrics": metrics,
        "with_id": with_id,
        "recall_kept": metrics["overall"]["recall@50"] / whole if whole else None,
    }
