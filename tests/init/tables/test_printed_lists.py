"""Tests of lists as programs print them, which CSV files then hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.init.raw import feature, items, make, written

WORDS = ["amber", "dune", "it's", 'a "quoted" one', "x, y", "old"]


def words_of(number: int) -> list[str]:
    """Return one to three different words."""
    return [WORDS[(number + step) % 6] for step in range(1 + number % 3)]


@pytest.mark.parametrize(
    "printed",
    [
        str,
        lambda words: str(tuple(words)),
        lambda words: str(set(words)),
        lambda words: str(np.array(words)),
        lambda words: f" {words} ",
        lambda words: str([*words, None]),
    ],
)
def test_words_in_a_printed_list(printed: Any, tmp_path: Path) -> None:
    document = make(tmp_path, items(tags=[printed(words_of(n)) for n in range(60)]))
    assert feature(document, "tags")["kind"] == "multi"
    assert "lists as programs print them" in feature(document, "tags")["note"]
    found = written(tmp_path, "items")["tags"].to_pylist()
    assert [sorted(words) for words in found] == [sorted(words_of(n)) for n in range(60)]


def test_empty_lists_have_no_words(tmp_path: Path) -> None:
    document = make(tmp_path, items(tags=["[]", "['a']", "set()", "{'b'}", "('c',)", "()"] * 10))
    assert feature(document, "tags")["coverage"] == 0.5
    assert written(tmp_path, "items")["tags"].to_pylist()[:6] == [[], ["a"], [], ["b"], ["c"], []]


def test_an_array_of_numpy_is_a_vector(tmp_path: Path) -> None:
    vectors = np.random.default_rng(3).normal(size=(60, 8)).astype(np.float32)
    document = make(tmp_path, items(vector=[str(row) for row in vectors]))
    assert feature(document, "vector")["kind"] == "dense"
    found = np.array(written(tmp_path, "items")["vector"].to_pylist())
    np.testing.assert_allclose(found, vectors, atol=1e-6)


@pytest.mark.parametrize(
    "text", ["(see the note)", "{'a': 1}", "[draft] a title", "(12) and (13)", "{name}"]
)
def test_brackets_alone_make_no_list(text: str, tmp_path: Path) -> None:
    document = make(tmp_path, items(title=pa.array([text, "(see there)"] * 30)))
    assert feature(document, "title")["kind"] == "single"
