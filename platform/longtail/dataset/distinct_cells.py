"""Which of many single values are the same."""

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]


class DistinctCells:
    """Finds the distinct cells of a feature in time linear in the rows, without a sort.

    It remembers a number by value of the feature's table: 4 bytes a row of it. Not to be used from
    two threads at once.
    """

    def __init__(self) -> None:
        self._place = np.empty(0, np.int32)

    def find(self, cells: Int32Array) -> tuple[Int32Array, Int64Array]:
        """The distinct ones, in the order of their last rows.

        Args:
            cells: `[R]`, a value each, or -1 for none.

        Returns:
            `[U]` distinct cells, and `[R]` which of them each row has.
        """
        num_values = int(cells.max(initial=-1)) + 2  # one more, at the end, for none
        if num_values > len(self._place):
            self._place = np.empty(2 * num_values, np.int32)
        rows = np.arange(len(cells), dtype=np.int32)
        # Nothing has to be cleared: only what this call has written is read.
        self._place[cells] = rows
        distinct = cells[self._place[cells] == rows]
        self._place[distinct] = rows[: len(distinct)]
        return distinct, self._place[cells].astype(np.int64)
