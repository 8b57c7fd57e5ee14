"""The questions of an evaluation: held-out pairs, candidates, and items a query is not shown."""

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from longtail.dataset.training_set import Examples, TrainingSet
from longtail.features.encoding import offsets_of

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HeldOut:
    """Held-out pairs of Q queries over C candidate items.

    Attributes:
        query_row: `[Q]` row of `TrainingSet.query_rows` with each query's features as of the day,
            or, if the day has none, those of its held-out interaction.
        query: `[Q]` position in `TrainingSet.query_ids`.
        candidate: `[C]` position in `TrainingSet.item_ids`, ascending.
        pair_query: `[P]` position among the Q, ascending.
        pair_item: `[P]` position among the C.
        excluded_offsets: `[Q + 1]` into `excluded_item`.
        excluded_item: positions among the C that a query is not shown: its training items, and
            itself where queries and items share ids. Distinct within a query, ascending.
        num_pairs_without_item: held-out pairs left out because no ranking can be right on them:
            the item is not a candidate, or it is the query itself.
    """

    query_row: Int64Array
    query: Int64Array
    candidate: Int64Array
    pair_query: Int64Array
    pair_item: Int64Array
    excluded_offsets: Int64Array
    excluded_item: Int64Array
    num_pairs_without_item: int

    @property
    def num_queries(self) -> int:
        """The number of queries, Q."""
        return len(self.query)

    @property
    def num_candidates(self) -> int:
        """The number of candidates, C."""
        return len(self.candidate)


def held_out_pairs(
    training_set: TrainingSet,
    part: Literal["validation", "test"],
    *,
    candidates: npt.NDArray[np.bool_] | None = None,
) -> HeldOut:
    """Collect the pairs of one part that a ranking of the catalogue is measured on.

    Args:
        training_set: the training set of the day.
        part: the part with the pairs; each query's items of the training part are excluded.
        candidates: `[num_items]` whether an item of the catalogue is ranked; default: all are.
    """
    s = training_set
    in_catalogue = s.catalogue_row >= 0
    chosen = in_catalogue if candidates is None else in_catalogue & candidates
    candidate = np.flatnonzero(chosen)
    candidate_of_item = np.full(len(s.item_ids), -1, np.int64)
    candidate_of_item[candidate] = np.arange(len(candidate))
    itself = _candidate_that_is_the_query(s, candidate_of_item)

    # The pairs, sorted by query and then by item, so that each query's pairs are one run.
    examples: Examples = getattr(s, part)
    query, item = _pairs(s, examples, candidate_of_item)
    usable = (item >= 0) & (item != itself[query])
    asked, first, pair_query = np.unique(query[usable], return_index=True, return_inverse=True)
    row_of_example = np.asarray(examples.query_row[usable], np.int64)
    latest = np.asarray(s.latest_query_row[asked], np.int64)
    order = np.lexsort((item[usable], pair_query))

    # The exclusions. A query may repeat a training item, so (query, item) is made one number, and
    # `np.unique` both sorts the exclusions by query and removes repetitions.
    train_query, train_item = _pairs(s, s.train, candidate_of_item)
    position_of_query = np.full(len(s.query_ids), -1, np.int64)
    position_of_query[asked] = np.arange(len(asked))
    hidden_query = np.concatenate([position_of_query[train_query], np.arange(len(asked))])
    hidden_item = np.concatenate([train_item, itself[asked]])
    hidden = (hidden_query >= 0) & (hidden_item >= 0)
    pairs = np.unique(hidden_query[hidden] * max(len(candidate), 1) + hidden_item[hidden])
    excluded_query, excluded_item = np.divmod(pairs, max(len(candidate), 1))
    return HeldOut(
        query_row=np.where(latest >= 0, latest, row_of_example[first]),
        query=asked,
        candidate=candidate,
        pair_query=pair_query[order],
        pair_item=item[usable][order],
        excluded_offsets=offsets_of(np.bincount(excluded_query, minlength=len(asked))),
        excluded_item=excluded_item,
        num_pairs_without_item=len(examples) - int(usable.sum()),
    )


def fewer_queries(training_set: TrainingSet, limit: int) -> TrainingSet:
    """Keep the validation examples of at most `limit` random queries, always the same ones."""
    query = training_set.query_of_row[training_set.validation.query_row]
    asked = np.unique(query)
    if len(asked) <= limit:
        return training_set
    kept = np.random.default_rng(0).choice(asked, limit, replace=False)
    examples = chosen_examples(training_set.validation, np.flatnonzero(np.isin(query, kept)))
    return replace(training_set, validation=examples)


def chosen_examples(examples: Examples, rows: Int64Array) -> Examples:
    """Return the given rows of a part's examples, in the given order."""
    return Examples(**{f.name: getattr(examples, f.name)[rows] for f in fields(Examples)})


def _pairs(
    s: TrainingSet, examples: Examples, candidate_of_item: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Return the query of each example, and its candidate, or -1 if its item is not one."""
    query = np.asarray(s.query_of_row[examples.query_row], np.int64)
    return query, candidate_of_item[s.item_of_row[examples.item_row]]


def _candidate_that_is_the_query(s: TrainingSet, candidate_of_item: Int64Array) -> Int64Array:
    """Return for each query the candidate that is the query itself, or -1."""
    if not s.schema.shared_ids:
        return np.full(len(s.query_ids), -1, np.int64)
    item = pc.fill_null(pc.index_in(s.query_ids, value_set=s.item_ids), -1).to_numpy()
    return np.where(item >= 0, candidate_of_item[item], -1)
