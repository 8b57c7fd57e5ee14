"""The training links and the features that every baseline starts from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from longtail.dataset.training_set import TrainingSet
from longtail.features.encoding import EncodedRows
from longtail.features.schema import Schema

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Known:
    """The rows, links and schema of N queries and C candidates: what every method starts from.

    Attributes:
        schema: the features of both sides.
        links: `[N, C]` float32, 1 for each query and item of a training interaction, whatever its
            weight and however often it happened.
        query_rows: the encoded rows of all queries, several for some.
        row_of_query: `[N]` row of `query_rows` with a query's features as of the day, or, if the
            day has none, those of its last row.
        item_rows: the C encoded rows of the candidates, as of the day.
        seed: seed of a method that begins at random.
    """

    schema: Schema
    links: sparse.csr_array
    query_rows: EncodedRows
    row_of_query: Int64Array
    item_rows: EncodedRows
    seed: int

    @property
    def num_items(self) -> int:
        """The number of candidates, C."""
        return int(self.links.shape[1])

    @property
    def num_links(self) -> npt.NDArray[np.int64]:
        """The training links of each candidate, `[C]`."""
        return np.bincount(self.links.indices, minlength=self.num_items)


def known_of(training_set: TrainingSet, candidate: Int64Array, *, seed: int) -> Known:
    """Collect what the training part and the features say.

    Args:
        training_set: the training set; its validation and test part are not read.
        candidate: `[C]` positions in `TrainingSet.item_ids`, ascending, of `HeldOut`.
        seed: seed of a method that begins at random.
    """
    s = training_set
    candidate_of_item = np.full(len(s.item_ids), -1, np.int64)
    candidate_of_item[candidate] = np.arange(len(candidate))
    query = s.query_of_row[s.train.query_row]
    item = candidate_of_item[s.item_of_row[s.train.item_row]]
    usable = item >= 0
    links = sparse.csr_array(
        (np.ones(int(usable.sum()), np.float32), (query[usable], item[usable])),
        shape=(len(s.query_ids), len(candidate)),
    )
    links.sum_duplicates()
    links.data[:] = 1.0
    # The last row of each query, for those that the day has no features of.
    last_row = np.zeros(len(s.query_ids), np.int64)
    last_row[s.query_of_row] = np.arange(len(s.query_of_row))
    latest = np.asarray(s.latest_query_row, np.int64)
    return Known(
        schema=s.schema,
        links=links,
        query_rows=s.query_rows,
        row_of_query=np.where(latest >= 0, latest, last_row),
        item_rows=s.item_rows.take(s.catalogue_row[candidate]),
        seed=seed,
    )
