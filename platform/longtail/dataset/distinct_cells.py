"""Which of many single values are the same."""

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]


class DistinctCells:
    """Finds the distinct cells of a feature in time linear in the rows, without a sort.

    It keeps a number by value of the feature's table, 8 bytes a row of it, and room for as many
    again. Not to be used from two threads at once.
    """

    def __init__(self) -> None:
        self._place = np.empty(0, np.int64)

    def find(self, cells: Int32Array) -> tuple[Int32Array, Int64Array]:
        """The distinct ones, in the order of their last rows.

        Args:
            cells: `[R]`, a value each, or -1 for none.

        Returns:
            `[U]` distinct cells, and `[R]` which of them each row has.
        """
        num_values = int(cells.max(initial=-1)) + 2  # one more, at the end, for none
        if num_values > len(self._place):
            self._place = np.empty(2 * num_values, np.int64)
        rows, place, values = np.arange(len(cells)), self._place, cells.astype(np.int64)
        # Nothing has to be cleared: only what this call has written is read.
        place[values] = rows
        distinct = values[place[values] == rows]
        place[distinct] = rows[: len(distinct)]
        return distinct.astype(np.int32), place[values]
