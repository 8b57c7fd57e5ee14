"""Finds the distinct cells of a single-valued feature."""

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]


class DistinctCells:
    """Finds the distinct cells of a feature in time linear in the rows, without a sort.

    It keeps 8 bytes for each row of the feature's table, and room for as many rows again. It is not
    for two threads at once.
    """

    def __init__(self) -> None:
        self._place = np.empty(0, np.int64)

    def find(self, cells: Int32Array) -> tuple[Int32Array, Int64Array]:
        """Find the distinct cells, in the order of their last rows.

        Args:
            cells: `[R]`, the value of each row, or -1 for no value.

        Returns:
            `[U]` distinct cells, and `[R]` positions among them, the cell of each row.
        """
        num_values = int(cells.max(initial=-1)) + 2  # -1, "no value", is the last entry
        if num_values > len(self._place):
            self._place = np.empty(2 * num_values, np.int64)
        rows, place, values = np.arange(len(cells)), self._place, cells.astype(np.int64)
        # Each value keeps the last row that has it. Nothing has to be cleared before: a call reads
        # only the entries that it has written.
        place[values] = rows
        distinct = values[place[values] == rows]
        place[distinct] = rows[: len(distinct)]
        return distinct.astype(np.int32), place[values]
