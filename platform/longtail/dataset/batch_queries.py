"""The query rows of a batch: each distinct one once, with the history that its examples see."""

import numpy as np
import numpy.typing as npt

from longtail.config import Config
from longtail.dataset.dropout import drop_features
from longtail.dataset.sampler import history_generator
from longtail.dataset.training_set import TrainingSet
from longtail.features.encoding import offsets_of, ranges

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
# The values, the lengths and the positions of the examples, see `BatchQueries.of`.
Queries = tuple[Int32Array, Int64Array, Int64Array]


class BatchQueries:
    """Finds the distinct query rows of a batch.

    Args:
        training_set: the data to train on.
        config: the sections `history` and `training` are read.
        rank: this rank.
    """

    def __init__(self, training_set: TrainingSet, config: Config, rank: int) -> None:
        self._set, self._histories = training_set, training_set.histories
        assert (training_set.schema.history is None) == (self._histories is None)
        self._settings = config.history
        self._seed, self._rank = config.training.seed, rank

    def of(self, examples: Int64Array, step: int) -> Queries:
        """Return the distinct query rows of some examples.

        Args:
            examples: `[N]` positions in the training part.
            step: the global step, which seeds what is dropped.

        Returns:
            `[nnz]` values and `[F, Q]` lengths, as `EncodedRows.columns` returns them, and `[N]`
            the position of each example's query among the Q.
        """
        row = self._set.train.query_row[examples]
        if self._histories is not None:
            return self._with_histories(examples, row, step)
        rows, query = np.unique(row, return_inverse=True)
        values, lengths = self._set.query_rows.columns(rows)
        return values, lengths, query.ravel()

    def _with_histories(self, examples: Int64Array, row: Int32Array, step: int) -> Queries:
        """Return the query rows with what each example may see of its query's history."""
        s, histories = self._set, self._histories
        assert histories is not None
        drawn = history_generator(self._seed, step, self._rank).random((2, len(examples)))
        seen = np.flatnonzero(drawn[0] >= self._settings.drop_history)
        nameless = drawn[1] < self._settings.drop_query_id
        train, chosen = s.train, examples[seen]
        windows = histories.before(
            s.query_of_row[row[seen]],
            s.item_of_row[train.item_row[chosen]],
            train.timestamp[chosen],
        )

        # Rows are equal if the query row, the history and the dropping of the id are: what decides
        # that becomes one number.
        state = np.full(len(examples), -1, np.int64)
        state[seen] = windows.state
        states, state = np.unique(state, return_inverse=True)
        number = (row.astype(np.int64) * 2 + nameless) * len(states) + state.ravel()
        _, first, query = np.unique(number, return_index=True, return_inverse=True)

        # The history is the last feature, so its values come after all others.
        num_sourced = len(s.schema.query) - 1
        values, lengths = s.query_rows.columns(row[first], num_features=num_sourced)
        without_id = np.zeros(lengths.shape, np.bool_)
        without_id[0] = nameless[first]
        values, lengths = drop_features(values, lengths, cells=without_id)
        sizes, starts = np.zeros((2, len(examples)), np.int64)
        sizes[seen], starts[seen] = windows.sizes, offsets_of(windows.sizes)[:-1]
        place = windows.place[ranges(starts[first], sizes[first])]
        return (
            np.concatenate([values, histories.codes(place)]),
            np.concatenate([lengths, sizes[None, first]]),
            query.ravel(),
        )
