"""The columns inside a page, read back as page.js reads them; and the size of a page."""

import base64
import gzip
import json
from typing import Any

import numpy as np
import pyarrow as pa

from longtail.features.schema import Feature
from longtail.report.packed import (
    MAX_VALUES,
    Pack,
    pack_features,
    pack_items,
    pack_map,
    pack_neighbours,
)
from tests.report.drawn_versions import EVIL, SCHEMA


def unpacked(text: str) -> dict[str, Any]:
    """The head of a pack, with the content of each column."""
    content = gzip.decompress(base64.b64decode(text))
    size = int.from_bytes(content[:4], "little")
    head = json.loads(content[4 : 4 + size])
    body = content[4 + size :]
    for name, (kind, offset, length) in head["columns"].items():
        if kind == "text":
            head[name] = body[offset : offset + length].decode().split("\0")
            continue
        width = int(kind[1])
        raw = body[offset : offset + width * length]
        head[name] = [
            int.from_bytes(raw[at : at + width], "little") for at in range(0, len(raw), width)
        ]
    return head


def test_what_is_put_in_comes_out() -> None:
    items = pa.array(["a", EVIL, "ünïcode \N{SNOWMAN}", "nul\0inside"])
    table = pa.table(
        {
            "sku": items,
            "topic": pa.array(["x", None, "y", "x"]),
            "colour": pa.array([None] * 4, pa.string()),
            "words": pa.array([["p", "q"], None, [], [str(n) for n in range(12)]]),
        }
    )
    rows = np.array([[1, 2], [0, 3], [3, -1], [2, 0]])
    scores = np.array([[0.994, -0.5], [1.0, 0.0], [0.006, 0.0], [-1.0, 0.123]], np.float32)
    pack = Pack()
    pack_items(pack, items, np.array([5, 0, 70_000, 2**40]))
    pack_neighbours(pack, rows, scores, 4)
    pack_features(pack, table, SCHEMA.item)
    pack_map(pack, np.array([[0.0, 1.0], [0.5, 0.25]]), np.array([3, 1]), np.array([0, -1]))
    text = pack.encoded()
    assert "<" not in text
    found = unpacked(text)
    assert found["items"] == ["a", EVIL, "ünïcode \N{SNOWMAN}", "nul␀inside"]
    assert found["interactions"] == [5, 0, 70_000, 2**32 - 1]
    assert found["k"] == 2
    assert found["neighbours"] == [1, 2, 0, 3, 3, 4, 2, 0]
    assert found["scores"] == [199, 50, 200, 100, 101, 255, 0, 112]
    assert found["features"] == [
        {"name": "topic", "multi": False},
        {"name": "colour", "multi": False},
        {"name": "words", "multi": True},
    ]
    topics = [*found["values0"], None]
    assert [topics[code] for code in found["codes0"]] == ["x", None, "y", "x"]
    assert found["lengths2"] == [2, 0, 0, 12]
    kept = [found["values2"][code] for code in found["codes2"]]
    assert kept == ["p", "q", *map(str, range(MAX_VALUES))]
    assert found["map_x"] == [0, 32768]
    assert found["map_y"] == [65535, 16384]
    assert (found["map_item"], found["map_group"]) == ([3, 1], [0, 255])
    assert pack.encoded() == text


def test_rows_beyond_two_bytes() -> None:
    pack = Pack()
    rows = np.array([[65_536, 16_000_000]])
    pack_neighbours(pack, rows, np.zeros((1, 2), np.float32), 16_000_001)
    assert unpacked(pack.encoded())["neighbours"] == [65_536, 16_000_000]


def test_70_000_items_take_at_most_10_mb() -> None:
    """At random, which compresses worse than any real catalogue, with seven features."""
    random = np.random.default_rng(0)
    num_items = 70_000
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    items = pa.array(["".join(row) for row in letters[random.integers(0, 26, (num_items, 16))]])
    values = np.array([f"value {n}" for n in range(5_000)])
    features = (
        *tuple(Feature(f"f{n}", "item", "single", "string", f"f{n}", 8) for n in range(6)),
        Feature("words", "item", "multi", "string", "words", 8),
    )
    columns: dict[str, Any] = {
        f"f{n}": values[random.integers(0, 50 * 10 ** (n % 3), num_items)] for n in range(6)
    }
    offsets = np.arange(0, 4 * num_items + 1, 4, dtype=np.int32)
    columns["words"] = pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(values[random.integers(0, 5_000, 4 * num_items)])
    )
    pack = Pack()
    pack_items(pack, items, random.integers(0, 1_000, num_items))
    pack_neighbours(
        pack,
        random.integers(0, num_items, (num_items, 10)),
        random.uniform(-1, 1, (num_items, 10)).astype(np.float32),
        num_items,
    )
    pack_features(pack, pa.table(columns), features)
    assert len(pack.encoded()) < 9_800_000
