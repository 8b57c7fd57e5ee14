"""Columns of a page as compressed bytes inside it: what the search box and the map read.

A page holds one document, gzipped and in base64, which cannot contain markup. It is
`<length of the head: uint32> <head: JSON> <columns, one after another>`, little-endian. The head
names every column with its type and place; page.js reads it.
"""

import base64
import gzip
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail.features.schema import Feature

MAX_VALUES = 8
"""Values of a multi-valued feature that are kept for an item; the page says that there are more."""
MAX_CHARACTERS = 60
MISSING_SCORE = 255


class Pack:
    """The document of one page, to which columns are added."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {"columns": {}}
        self._parts: list[bytes] = []
        self._length = 0

    def put(self, name: str, value: Any) -> None:
        """Put a JSON value into the head."""
        self._head[name] = value

    def column(self, name: str, values: npt.NDArray[Any], kind: str) -> None:
        """Add a column of numbers of the type `u1`, `u2`, `u3` or `u4`."""
        if kind == "u3":
            # Three bytes hold 16.7 million rows, and a quarter less than four.
            wide = np.ascontiguousarray(values.ravel().astype("<u4"))
            content = wide.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        else:
            content = values.ravel().astype(f"<{kind}").tobytes()
        self._head["columns"][name] = [kind, self._length, int(values.size)]
        self._parts.append(content)
        self._length += len(content)

    def texts(self, name: str, values: list[str]) -> None:
        """Add a column of texts, as one text whose parts NUL separates."""
        content = "\0".join(text.replace("\0", "␀") for text in values).encode("utf-8", "replace")
        self._head["columns"][name] = ["text", self._length, len(content)]
        self._head.setdefault("lengths", {})[name] = len(values)
        self._parts.append(content)
        self._length += len(content)

    def encoded(self) -> str:
        """Return the document, gzipped and in base64."""
        head = json.dumps(self._head, allow_nan=False).encode()
        document = len(head).to_bytes(4, "little") + head + b"".join(self._parts)
        # Without a time inside, the same content gives the same bytes.
        return base64.b64encode(gzip.compress(document, 9, mtime=0)).decode("ascii")


def pack_items(pack: Pack, items: pa.Array, interactions: npt.NDArray[np.int64]) -> None:
    """Add the ids of the items, in their order, and how often each was interacted with."""
    pack.texts("items", items.to_pylist())
    pack.column("interactions", np.minimum(interactions, 2**32 - 1), "u4")


def pack_neighbours(
    pack: Pack, rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], num_items: int
) -> None:
    """Add `[n, k]` neighbours and scores.

    A neighbour is a row of the items, `num_items` for none. A score is kept to two digits, as
    100 + 100 times its value.
    """
    kind = "u2" if num_items < 2**16 else "u3" if num_items < 2**24 else "u4"
    pack.put("k", int(rows.shape[1]))
    pack.column("neighbours", np.where(rows >= 0, rows, num_items), kind)
    rounded = np.clip(np.rint(scores * 100) + 100, 0, 200)
    pack.column("scores", np.where(rows >= 0, rounded, MISSING_SCORE), "u1")


def pack_features(pack: Pack, catalogue: pa.Table, features: tuple[Feature, ...]) -> None:
    """Add the categorical features of the items: the values, and for each item their places."""
    shown: list[dict[str, Any]] = []
    for feature in features:
        if feature.is_id or feature.is_dense or feature.name not in catalogue.column_names:
            continue
        number = len(shown)
        column = catalogue[feature.name].combine_chunks()
        if feature.kind == "multi":
            lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
            flat = pc.list_flatten(column)
            place = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            flat = flat.filter(pa.array(place < MAX_VALUES))
            pack.column(f"lengths{number}", np.minimum(lengths, 255), "u1")
        else:
            flat = column
        encoded = flat.dictionary_encode()
        values = [_short(str(value)) for value in encoded.dictionary.to_pylist()]
        codes = pc.fill_null(encoded.indices, len(values)).to_numpy()
        width = "u1" if len(values) < 2**8 else "u2" if len(values) < 2**16 else "u3"
        pack.texts(f"values{number}", values)
        pack.column(f"codes{number}", codes, width)
        shown.append({"name": feature.name, "multi": feature.kind == "multi"})
    pack.put("features", shown)
    pack.put("max_values", MAX_VALUES)


def pack_map(
    pack: Pack,
    points: npt.NDArray[np.float64],
    rows: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
) -> None:
    """Add the points of the map, each with its item and the place of its group; 255 for none."""
    pack.column("map_x", np.rint(points[:, 0] * 65_535), "u2")
    pack.column("map_y", np.rint(points[:, 1] * 65_535), "u2")
    pack.column("map_item", rows, "u4")
    pack.column("map_group", np.where(group >= 0, group, 255), "u1")


def _short(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
