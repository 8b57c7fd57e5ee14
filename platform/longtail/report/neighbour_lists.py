"""The neighbours of every item of a version, and how they differ from those of another."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail.config import Config
from longtail.report.sources import VersionSources
from longtail.serving.catalogue_index import load_index

NUM_NEIGHBOURS = 10
NUM_SHOWN = 10
"""Items that the page shows with their neighbours before and after."""
NUM_SAMPLED = 2_000
"""Items of both versions on which the share of kept neighbours is measured."""
_BATCH = 4_096

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NeighbourLists:
    """The nearest items of some items.

    Attributes:
        rows: `[n, k]` rows of the version's embeddings, nearest first; -1 where there are fewer.
        scores: `[n, k]` inner products.
    """

    rows: Rows
    scores: npt.NDArray[np.float32]


def neighbours_of(config: Config, sources: VersionSources, rows: Rows) -> NeighbourLists:
    """Find the nearest items of some items in the version's own index, without the item itself.

    Args:
        config: the project.
        sources: a committed version.
        rows: `[n]` rows of its embeddings.
    """
    assert sources.embeddings is not None
    vectors = sources.embeddings[1]
    index: Any = load_index(config, sources.version).index
    k = min(NUM_NEIGHBOURS, len(vectors) - 1)
    found = np.full((len(rows), NUM_NEIGHBOURS), -1, np.int64)
    scores = np.zeros((len(rows), NUM_NEIGHBOURS), np.float32)
    for start in range(0, len(rows) if k else 0, _BATCH):
        part = rows[start : start + _BATCH]
        # One more than wanted, because the nearest to an item is nearly always the item itself.
        part_scores, part_rows = index.search(np.ascontiguousarray(vectors[part]), k + 1)
        # The item goes to the end, and with it the last place; the order of the rest stays.
        order = np.argsort(part_rows == part[:, None], axis=1, kind="stable")[:, :k]
        found[start : start + len(part), :k] = np.take_along_axis(part_rows, order, axis=1)
        scores[start : start + len(part), :k] = np.take_along_axis(part_scores, order, axis=1)
    return NeighbourLists(found, scores)


@dataclass(frozen=True)
class Stability:
    """How the space of a version differs from that of the version before.

    Attributes:
        num_common: items that both have.
        num_sampled: those of them that were measured, a seeded choice.
        kept: mean share of an item's ten neighbours that were among its ten before.
        cosine: mean cosine of an item's vectors before and after; None if lengths differ.
    """

    num_common: int
    num_sampled: int
    kept: float
    cosine: float | None


def measure_stability(config: Config, now: VersionSources, before: VersionSources) -> Stability:
    """Compare the neighbours and vectors of the items that two committed versions share."""
    assert now.embeddings is not None
    assert before.embeddings is not None
    (items, vectors), (old_items, old_vectors) = now.embeddings, before.embeddings
    row_now, row_before = common_rows(items, old_items)
    if not len(row_now):
        return Stability(0, 0, 0.0, None)
    random = np.random.default_rng(0)
    size = min(NUM_SAMPLED, len(row_now))
    sample = np.sort(random.choice(len(row_now), size, replace=False))
    row_now_s, row_before_s = row_now[sample], row_before[sample]
    new = neighbours_of(config, now, row_now_s).rows
    old = neighbours_of(config, before, row_before_s).rows
    # Rows of the two versions differ: the old neighbours are named by rows of the new version.
    named = np.full(len(old_items) + 1, -2, np.int64)
    named[row_before] = row_now
    kept = (named[old][:, :, None] == new[:, None, :]).any(axis=2).sum(axis=1)
    cosine = None
    if vectors.shape[1] == old_vectors.shape[1]:
        products = (vectors[row_now] * old_vectors[row_before]).sum(axis=1)
        cosine = float(products.mean())
    present = (old >= 0).sum(axis=1)
    return Stability(len(row_now), size, float((kept / np.maximum(present, 1)).mean()), cosine)


def common_rows(items: pa.Array, old_items: pa.Array) -> tuple[Rows, Rows]:
    """Return the rows of the items that two versions share, in the first and in the second."""
    found = pc.index_in(items, value_set=old_items)
    present = found.is_valid().to_numpy(zero_copy_only=False)
    return np.flatnonzero(present), found.drop_null().to_numpy().astype(np.int64)


def before_and_after(
    config: Config, now: VersionSources, before: VersionSources
) -> list[dict[str, Any]]:
    """Return ten items with their neighbours in both versions.

    They are the four common items with most interactions, and six at equal steps down the order of
    interactions, so that rare items are among them.

    Returns:
        `[{"item", "interactions", "before": [{"item", "score", "kept"}], "after": [...]}]`
    """
    assert now.embeddings is not None
    assert before.embeddings is not None
    row_now, row_before = common_rows(now.embeddings[0], before.embeddings[0])
    order = np.argsort(-now.interactions_of_items[row_now], kind="stable")
    steps = np.linspace(0, len(order) - 1, NUM_SHOWN - 4 + 1).astype(np.int64)[1:]
    places = np.unique(np.concatenate([np.arange(min(4, len(order))), steps[: len(order)]]))
    chosen = order[places]
    lists = [
        _named(before, neighbours_of(config, before, row_before[chosen])),
        _named(now, neighbours_of(config, now, row_now[chosen])),
    ]
    shown = []
    for row, old, new in zip(row_now[chosen], *lists, strict=True):
        olds, news = ({item for item, _ in one} for one in (old, new))
        shown.append(
            {
                "item": now.embeddings[0][int(row)].as_py(),
                "interactions": int(now.interactions_of_items[row]),
                "before": [
                    {"item": item, "score": score, "kept": item in news} for item, score in old
                ],
                "after": [
                    {"item": item, "score": score, "kept": item in olds} for item, score in new
                ],
            }
        )
    return shown


def _named(sources: VersionSources, lists: NeighbourLists) -> list[list[tuple[str, float]]]:
    assert sources.embeddings is not None
    items = sources.embeddings[0]
    return [
        [
            (items[int(row)].as_py(), float(score))
            for row, score in zip(rows, scores, strict=True)
            if row >= 0
        ]
        for rows, scores in zip(lists.rows, lists.scores, strict=True)
    ]
