"""The queries' histories: which items of the training part a query is seen with.

Validation and test pairs are in none of them. A training example sees what its query did strictly
before it, and never its own item; where all interactions have one timestamp, it sees all others.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from longtail.features.encoding import TAKE_BLOCK, EncodedRows, offsets_of, ranges

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]


class Windows(NamedTuple):
    """The histories of N training examples.

    Attributes:
        place: `[nnz]` places in the lists of `Histories`, example by example, newest first.
        sizes: `[N]` the number of each example's places.
        state: `[N]` equal numbers mean equal histories; -1 is the empty history.
    """

    place: Int64Array
    sizes: Int64Array
    state: Int64Array


@dataclass(frozen=True)
class Histories:
    """The training items of each query, each once, newest first; equal moments by item.

    A pair counts at its earliest moment. Items whose id is not in the vocabulary are left out.

    Attributes:
        length: most items of a history, N.
        timed: whether the interactions have more than one timestamp.
        code: `[num_items]` int32, the item's row in the table of ids; -1 for one that has none.
        offsets: `[num_queries + 1]` int64, where each query's list starts.
        item: `[m]` int32, positions in `TrainingSet.item_ids`.
        moment: `[m]` int64, microseconds since 1970-01-01 UTC, falling within a query.
    """

    length: int
    timed: bool
    code: Int32Array
    offsets: Int64Array
    item: Int32Array
    moment: Int64Array

    @classmethod
    def of_pairs(
        cls,
        query: npt.NDArray[np.integer],
        item: npt.NDArray[np.integer],
        moment: Int64Array,
        *,
        code: Int32Array,
        num_queries: int,
        length: int,
        timed: bool,
    ) -> "Histories":
        """Make the lists from the pairs of the training part.

        Args:
            query, item, moment: `[n]` of each pair; pairs may repeat.
            code: `[num_items]`, see the attribute.
            num_queries: number of all queries.
            length: most items of a history.
            timed: see the attribute.
        """
        known = np.flatnonzero(np.asarray(code)[item] >= 0)
        query, item, moment = query[known], item[known], np.asarray(moment[known])
        # The earliest of a pair's moments.
        order = np.lexsort((moment, item, query))
        query, item, moment = query[order], item[order], moment[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (np.diff(query) != 0) | (np.diff(item) != 0)
        query, item, moment = query[first], item[first], moment[first]
        newest = np.lexsort((item, -moment, query))
        return cls(
            length=length,
            timed=timed,
            code=np.asarray(code, np.int32),
            offsets=offsets_of(np.bincount(query, minlength=num_queries)),
            item=item[newest].astype(np.int32),
            moment=moment[newest].astype(np.int64),
        )

    def newest(self, query: npt.NDArray[np.integer]) -> tuple[Int32Array, Int64Array]:
        """Return the newest items of queries, as evaluation sees them.

        Args:
            query: `[n]` positions in `TrainingSet.query_ids`.

        Returns:
            `[nnz]` rows of the table of ids, newest first, and `[n]` the number of each query's.
        """
        starts = self.offsets[query]
        sizes = np.minimum(self.offsets[np.asarray(query, np.int64) + 1] - starts, self.length)
        return self.codes(ranges(starts, sizes)), sizes

    def before(
        self, query: npt.NDArray[np.integer], item: npt.NDArray[np.integer], moment: Int64Array
    ) -> Windows:
        """Return the newest items before training examples, without their own items.

        Args:
            query, item: `[N]` positions of the examples' queries and items.
            moment: `[N]` timestamps of the examples, microseconds.
        """
        query = np.asarray(query, np.int64)
        stops = self.offsets[query + 1]
        starts = self.offsets[query]
        if self.timed:
            starts = self._first_before(starts, stops, moment)
        # One item more than a history has, in case that the example's own is among them.
        sizes = np.minimum(stops - starts, self.length + 1)
        example = np.repeat(np.arange(len(query)), sizes)
        place = ranges(starts, sizes)
        own = np.flatnonzero(self.item[place] == item[example])
        out = starts + self.length
        out[example[own]] = place[own]
        left = np.minimum(sizes - (out < starts + sizes), self.length)
        number = starts * (self.length + 1) + out - starts
        return Windows(place[place != out[example]], left, np.where(left > 0, number, -1))

    def codes(self, place: Int64Array) -> Int32Array:
        """Return the rows of the table of ids of places in the lists."""
        return self.code[self.item[place]]

    def _first_before(self, low: Int64Array, high: Int64Array, moment: Int64Array) -> Int64Array:
        """Return the first place of each list with a moment strictly before a given one: `[N]`.

        Args:
            low, high: `[N]` where the lists start and stop.
            moment: `[N]` the given moments.
        """
        stop = high
        # Bisection, for all lists together.
        while np.any(low < high):
            middle = (low + high) // 2
            # A list that is done keeps its place, which may be the one after the last.
            earlier = self.moment[np.minimum(middle, stop - 1)] < moment
            earlier |= low == high
            low, high = np.where(earlier, low, middle + 1), np.where(earlier, middle, high)
        return low


def item_codes(rows: EncodedRows, item_of_row: Int32Array, num_items: int) -> Int32Array:
    """Return each item's row in the table of ids, -1 for an unknown id: `[num_items]`.

    Args:
        rows: the encoded rows of items; their first feature is the id.
        item_of_row: `[num_rows]` the item of each row.
        num_items: number of all items.
    """
    starts = rows.offsets[: -1 : rows.num_features]
    known = rows.offsets[1 :: rows.num_features] > starts
    code = np.full(num_items, -1, np.int32)
    code[item_of_row[known]] = rows.values[starts[known]]
    return code


def with_newest(
    rows: EncodedRows,
    query_of_row: npt.NDArray[np.integer],
    histories: Histories,
    *,
    num_sourced: int,
) -> EncodedRows:
    """Return the queries' rows with their newest items as the last feature.

    Args:
        rows: `[num_rows]` encoded rows of queries. A history that they already have is replaced.
        query_of_row: `[num_rows]` the query of each row.
        histories: the histories of all queries.
        num_sourced: number of the features before the history.
    """
    num_rows = rows.num_rows
    lengths = np.diff(rows.offsets).reshape(num_rows, rows.num_features)[:, :num_sourced]
    own = lengths.sum(axis=1)
    sizes = np.minimum(np.diff(histories.offsets), histories.length)[query_of_row]
    offsets = offsets_of(np.column_stack([lengths, sizes]).ravel())
    values = np.empty(offsets[-1], np.int32)
    starts, places = rows.offsets[:: rows.num_features], offsets[:: num_sourced + 1]
    # Block by block: the positions of the values take more memory than the values.
    for first in range(0, num_rows, TAKE_BLOCK):
        block = slice(first, min(first + TAKE_BLOCK, num_rows))
        values[ranges(places[block], own[block])] = rows.values[ranges(starts[block], own[block])]
        codes, _ = histories.newest(query_of_row[block])
        values[ranges(places[block] + own[block], sizes[block])] = codes
    return EncodedRows(num_sourced + 1, offsets, values, rows.vectors)
