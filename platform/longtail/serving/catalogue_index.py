"""The index of one version, and its search with filters, exact if a filter leaves few items."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longtail.artifacts import VersionPaths
from longtail.config import Config
from longtail.embeddings.arrow_columns import read_columns
from longtail.embeddings.embeddings_file import ITEM
from longtail.embeddings.results import ScoredItem
from longtail.embeddings.versions import has_bias, verify_version
from longtail.encoder.score_vectors import as_items, as_queries
from longtail.errors import InputError, LongtailError
from longtail.serving.served_version import Shared
from longtail.serving.vocabulary_rows import SortedValues

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]

# FAISS adds keywords and classes at import that its own type information does not know.
_parameters: Any = faiss

FEW_HIDDEN = 200
"""Up to this many excluded items are found along with the others, and then dropped."""

FEW_ALLOWED = 20_000
"""If a filter leaves at most this many items, each is scored, whatever the kind of index."""

MAX_WIDENING = 16
"""A filter widens the search of a graph this many times at most; beyond it, a scan takes over."""


@dataclass(frozen=True)
class CatalogueIndex:
    """The index of one version: row i of the index is item i.

    Attributes:
        version: the version's name.
        items: `[num_items]` item ids.
        index: an inner product index over `[num_items, dim]` unit vectors, flat or HNSW. Each has
            the item's bias as one number more where the version has biases.
        flat: the vectors of `index` as an exact index; the same object if `index` is flat.
        rows: finds the row of an item.
        has_bias: whether the version has biases.
    """

    version: str
    items: pa.Array
    index: Any
    flat: Any
    rows: SortedValues
    has_bias: bool = False

    @property
    def dim(self) -> int:
        """The length of the version's unit vectors."""
        return int(self.flat.d) - self.has_bias

    def vectors_of(self, items: Sequence[str]) -> Float32Array:
        """Return the `[n, dim]` unit vectors of items.

        Raises:
            LongtailError: the version does not have one of them.
        """
        found = [self.rows.find(item) for item in items]
        if -1 in found:
            raise LongtailError(
                f"item {items[found.index(-1)]!r} is not in the served version {self.version}: "
                "check its id; a new item comes with the next `longtail run`"
            )
        return self._vectors[np.array(found, np.int64), : self.dim]

    def search(
        self,
        vectors: Float32Array,
        k: int,
        *,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
        with_bias: bool = False,
    ) -> list[list[ScoredItem]]:
        """Return the k items with the largest score for each vector.

        See `nearest` for arguments and errors.

        Returns:
            n lists of `{"item": str, "score": float}`, best first.
        """
        found = self.nearest(vectors, k, exclude=exclude, allowed=allowed, with_bias=with_bias)
        return [self.named(rows, scores) for rows, scores in found]

    def nearest(
        self,
        vectors: Float32Array,
        k: int,
        *,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
        with_bias: bool = False,
    ) -> list[tuple[Int64Array, Float32Array]]:
        """Return the rows of the k items with the largest score for each vector.

        A flat index is exact under any filter. A graph is exact if a filter leaves few items, and
        is searched wider if it leaves more. As many items come back as were asked for.

        Args:
            vectors: `[n, dim]`, of this version's query or item tower.
            k: how many items; fewer come back if the filters leave fewer.
            exclude: item ids that must not come back; unknown ids are ignored.
            allowed: only these item ids may come back; None for all. Unknown ids are ignored.
            with_bias: the vectors are queries, and a score is the inner product and the item's bias
                if the version has any. Otherwise it is the inner product, such as between items.

        Returns:
            n pairs of rows and scores, best first.

        Raises:
            InputError: `k` is not positive, or a filter is not a collection of strings.
            LongtailError: the vectors have another dimension, or a value that is not finite.
        """
        if k < 1:
            raise InputError(f"asked for {k} results: ask for at least one")
        queries = self._checked(vectors, with_bias)
        hidden = self._rows_of(exclude, "exclude")
        # A few hidden items are cheapest to find along with the others and to drop afterwards.
        if allowed is None and len(hidden) <= FEW_HIDDEN:
            wanted = min(k + len(hidden), len(self.items))
            scores, rows = self._whole(queries, wanted)
            scores = np.where(np.isin(rows, hidden), -np.inf, scores)
        else:
            # Any other filter becomes one mask over the catalogue; how many items it leaves decides
            # whether they are scored one by one or searched for.
            shown = np.ones(len(self.items), np.bool_)
            if allowed is not None:
                shown[:] = False
                shown[self._rows_of(allowed, "allowed")] = True
            shown[hidden] = False
            num_shown = int(np.count_nonzero(shown))
            wanted = min(k, num_shown)
            if wanted == 0:
                none = np.empty(0, np.int64), np.empty(0, np.float32)
                return [none for _ in queries]
            if num_shown <= FEW_ALLOWED:
                scores, rows = self._among(queries, wanted, np.flatnonzero(shown))
            else:
                scores, rows = self._filtered(queries, wanted, shown, num_shown)
        kept = (rows >= 0) & np.isfinite(scores)
        return [
            (row[shown][:k], score[shown][:k])
            for row, score, shown in zip(rows, scores, kept, strict=True)
        ]

    def named(self, rows: Int64Array, scores: npt.NDArray[np.floating]) -> list[ScoredItem]:
        """Return `{"item": str, "score": float}` for each of some rows and their scores."""
        pairs = zip(rows.tolist(), scores.tolist(), strict=True)
        return [{"item": self.items[row].as_py(), "score": score} for row, score in pairs]

    def known_rows(self, items: Collection[str]) -> Int64Array:
        """Return the distinct rows, ascending, of the items that the version has."""
        found = np.array([self.rows.find(item) for item in items], np.int64)
        return np.unique(found[found >= 0])

    def shown_rows(
        self, rows: Int64Array, exclude: Collection[str], allowed: Collection[str] | None
    ) -> npt.NDArray[np.bool_]:
        """Return for each of some rows whether the filters of `nearest` leave its item."""
        shown = ~np.isin(rows, self._rows_of(exclude, "exclude"))
        if allowed is not None:
            shown &= np.isin(rows, self._rows_of(allowed, "allowed"))
        return shown

    def scores_of(self, vector: Float32Array, rows: Int64Array) -> Float32Array:
        """Return the scores of one query, `[dim]`, for the items of some rows, biases included."""
        asked = as_queries(vector[None], self.flat.d)[0]
        scores: Float32Array = self._vectors[rows] @ asked
        return scores

    def _whole(self, queries: Float32Array, wanted: int) -> tuple[Float32Array, Int64Array]:
        """Search all items: `[n, wanted]` scores and rows, best first."""
        if self.index is self.flat:
            return _search(self.flat, queries, wanted, None)
        width = max(self.index.hnsw.efSearch, wanted)
        found = _search(
            self.index, queries, wanted, _parameters.SearchParametersHNSW(efSearch=width)
        )
        return self._completed(found, queries, wanted, None)

    def _filtered(
        self, queries: Float32Array, wanted: int, shown: npt.NDArray[np.bool_], num_shown: int
    ) -> tuple[Float32Array, Int64Array]:
        """Search the items that `shown` marks: `[n, wanted]` scores and rows, best first."""
        bits = np.packbits(shown, bitorder="little")
        selector = _parameters.IDSelectorBitmap(bits)
        scan = _parameters.SearchParameters(sel=selector)
        # A graph walks past hidden items, too: it must keep more candidates to find enough others.
        widening = len(self.items) / num_shown
        if self.index is self.flat or widening > MAX_WIDENING:
            return _search(self.flat, queries, wanted, scan)
        width = int(widening * max(self.index.hnsw.efSearch, wanted)) + 1
        walk = _parameters.SearchParametersHNSW(efSearch=width, sel=selector)
        return self._completed(_search(self.index, queries, wanted, walk), queries, wanted, scan)

    def _completed(
        self, found: tuple[Float32Array, Int64Array], queries: Float32Array, wanted: int, scan: Any
    ) -> tuple[Float32Array, Int64Array]:
        """Scan again for the queries of which the walk ended early, in a part of the graph."""
        scores, rows = found
        short = np.flatnonzero((rows < 0).any(axis=1))
        if len(short):
            scores[short], rows[short] = _search(self.flat, queries[short], wanted, scan)
        return scores, rows

    def _among(
        self, queries: Float32Array, wanted: int, candidates: Int64Array
    ) -> tuple[Float32Array, Int64Array]:
        """Score every candidate row: `[n, wanted]` scores and rows, best first."""
        scores = queries @ self._vectors[candidates].T
        # Sorting only the best is quicker than sorting all.
        best = np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]
        kept = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-kept, axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        return np.take_along_axis(scores, best, axis=1), candidates[best]

    @property
    def _vectors(self) -> Float32Array:
        """The vectors, with their biases if any, a view of the index's own memory."""
        size = self.flat.ntotal * self.flat.d
        view: Float32Array = faiss.rev_swig_ptr(self.flat.get_xb(), size)
        return view.reshape(self.flat.ntotal, self.flat.d)

    def _checked(self, vectors: Float32Array, with_bias: bool) -> Float32Array:
        """Return vectors that can be searched for, contiguous and float32; refuse others."""
        queries = np.ascontiguousarray(vectors, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise LongtailError(
                f"the vector has {queries.shape[-1]} values, version {self.version} has {self.dim}"
            )
        if not np.isfinite(queries).all():
            raise LongtailError("the vector has a value that is not finite: encode it again")
        return (as_queries if with_bias else as_items)(queries, self.flat.d)

    def _rows_of(self, items: Collection[str], argument: str) -> Int64Array:
        """Return the rows of the items that the version has; refuse what is no collection."""
        if isinstance(items, str) or not all(isinstance(item, str) for item in items):
            raise InputError(f"`{argument}` must be a collection of item ids, which are strings")
        return self.known_rows(items)


def _search(
    index: Any, queries: Float32Array, wanted: int, parameters: Any
) -> tuple[Float32Array, Int64Array]:
    """Search an index. FAISS neither changes the index nor holds Python's lock meanwhile."""
    scores, rows = index.search(queries, wanted, params=parameters)
    return scores, rows


def _load(config: Config, version: str) -> CatalogueIndex:
    paths = VersionPaths(config, version)
    manifest = verify_version(config, version, files=[paths.embeddings.name, paths.index.name])
    index = _read_index(paths.index)
    items = read_columns(paths.embeddings, [ITEM])[ITEM].combine_chunks()
    biased = has_bias(manifest)
    shape, expected = (index.ntotal, index.d), (len(items), manifest["embedding_dim"] + biased)
    if shape != expected:
        raise LongtailError(
            f"{paths.index} holds {shape[0]} x {shape[1]} values, the version has {expected[0]} x "
            f"{expected[1]}: export the version again"
        )
    # A graph keeps its vectors in a flat index, which is what exact searches scan.
    flat = faiss.downcast_index(index.storage) if isinstance(index, faiss.IndexHNSW) else index
    if not isinstance(flat, faiss.IndexFlat) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise LongtailError(
            f"{paths.index} is no flat or HNSW index by inner product, but {type(index).__name__}: "
            "export the version again"
        )
    return CatalogueIndex(version, items, index, flat, SortedValues(items), biased)


def _read_index(file: Path) -> Any:
    try:
        return faiss.read_index(str(file))
    except RuntimeError as error:
        raise LongtailError(f"{file} cannot be read: export the version again") from error


load_index = Shared(_load)
"""Load the index of a committed version, after comparing its files with the manifest.

Raises:
    LongtailError: a file is missing or damaged, or index and items do not fit together.
"""
