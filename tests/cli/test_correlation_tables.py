"""The tables that `longtail mine` prints, on a terminal of 80 columns."""

import re
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from longtail.augmentation.masking_plan import masking_plan as plan_of
from longtail.cli.tables.correlation_tables import CorrelationMatrix, associations, masking_plan
from longtail.correlation.display_text import short_number

NASTY = ["a\0b", "🐍 \x1b[31msnake", None, "y" * 300, "[bold]no markup[/bold]", "two\nlines"]


def document(num_features: int, measure: str = "normalized", **overrides: Any) -> dict[str, Any]:
    generator = np.random.default_rng(num_features)
    matrix = generator.random((num_features, num_features))
    matrix = (matrix + matrix.T) / 2
    names = ["item_id", "a_feature_with_a_name_of_its_own", *(f"f{n}" for n in range(98))]
    names = names[:num_features]
    return {
        "features": names,
        "measure": measure,
        "matrix": matrix.tolist(),
        "plan": plan_of(names, matrix, **overrides).masks,
        "associations": [],
        "errors": None,
        "sample_fraction": 1.0,
        "num_items": 63_436,
    }


def lines(*renderables: RenderableType) -> list[str]:
    stream = StringIO()
    console = Console(file=stream, width=80, highlight=False)
    for renderable in renderables:
        console.print(renderable)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("num_features", [1, 2, 5, 10, 25, 40])
def test_every_pair_stands_once_where_its_numbers_say(num_features: int, sample: bool) -> None:
    shown = document(num_features)
    matrix = shown["matrix"]
    if sample:
        shown["errors"] = (np.array(matrix) / 9).tolist()
        shown |= {"sample_fraction": 0.25, "num_items": 15_859}
    printed = lines(CorrelationMatrix(shown))
    assert ("15,859 items, 25.00%" in printed[0]) == sample
    assert all(cell_len(line) <= 80 for line in printed)
    found: dict[tuple[int, int], str] = {}
    columns: list[int] = []
    for line in printed[1:]:
        words = line.split()
        if words and all(word.isdigit() for word in words):
            columns = [int(word) - 1 for word in words]
        elif words:
            row = int(words[0]) - 1
            cells = words[2:]
            found |= {(row, column): cell for column, cell in zip(columns, cells, strict=False)}
    assert found == {
        (row, column): "·"
        if row == column
        else short_number(matrix[row][column])
        + (f"±{short_number(matrix[row][column] / 9)}" if sample else "")
        for row in range(num_features)
        for column in range(row + 1)
    }


def test_the_raw_measure_shows_entropies() -> None:
    shown = document(3, "mutual_information")
    rows = [line.split() for line in lines(CorrelationMatrix(shown)) if line.strip()][2:]
    assert [row[-1] for row in rows] == [short_number(shown["matrix"][n][n]) for n in range(3)]


@pytest.mark.parametrize("num_features", [5, 25])
def test_the_whole_plan_is_there_in_its_order(num_features: int) -> None:
    shown = document(num_features, never_mask=["item_id"])
    printed = lines(masking_plan(shown))
    assert all(cell_len(line) <= 80 for line in printed)
    words = re.findall(r"[\w_]+", " ".join(printed[4:]))  # below the title and the header
    expected = [name for seed in shown["features"][1:] for name in shown["plan"][seed]]
    assert words == [*expected, "Never", "masked", "item_id"]


def test_nothing_to_mask_is_said() -> None:
    assert "fewer than two features" in "".join(lines(masking_plan(document(1))))


def test_associations_are_the_strongest_pairs_that_can_be_read() -> None:
    shown = document(6)
    names = shown["features"]
    pairs = [(left, right) for i, left in enumerate(names) for right in names[i + 1 :]]
    shown["associations"] = [
        {
            "features": [left, right],
            "near_unique": ["item_id"] if left == "item_id" else [],
            "value_pairs": []
            if left == "item_id"
            else [
                {"values": [f"{left}-x", number], "items": 1234.5, "lift": 2.0, "information": 0.1}
                for number in range(5)
            ],
        }
        for left, right in pairs
    ]
    printed = lines(associations(shown))
    matrix = np.array(shown["matrix"])
    places = [(i, j) for i in range(1, 6) for j in range(i + 1, 6)]
    places.sort(key=lambda place: -matrix[place])
    headings = [line.split() for line in printed if line.rstrip().endswith(")")]
    assert [(left[:20], right, figure) for left, right, figure in headings] == [
        (names[i][:20], names[j], f"({short_number(matrix[i, j])})") for i, j in places[:8]
    ]
    assert sum("1,234" in line for line in printed) == 3 * 8
    assert "item_id" in printed[-2]


def test_no_value_reaches_the_terminal_raw() -> None:
    shown = document(3)
    shown["associations"] = [
        {
            "features": ["a_feature_with_a_name_of_its_own", "f0"],
            "near_unique": [],
            "value_pairs": [
                {"values": [left, right], "items": 12_345_678.0, "lift": 99.9, "information": 0.1}
                for left, right in zip(NASTY[part : part + 3], NASTY[3 - part :], strict=False)
            ],
        }
        for part in (0, 3)
    ]
    printed = lines(associations(shown))
    assert all(cell_len(line) <= 80 for line in printed)
    assert all(line.isprintable() for line in printed)
    text = "\n".join(printed)
    for value in ("a\\x00b", "🐍 \\x1b[31msnake", "(missing)", "two\\nlines", "[bold]no markup"):
        assert value in text
    assert text.count("12,345,678") == 6
    assert text.count("99.9") == 6


def test_where_nothing_correlates_nothing_is_listed() -> None:
    shown = document(3)
    shown["matrix"] = (np.eye(3) + 0.004).tolist()
    pair = {"values": ["x", "y"], "items": 3.0, "lift": 1.1, "information": 0.001}
    shown["associations"] = [
        {
            "features": ["a_feature_with_a_name_of_its_own", "f0"],
            "near_unique": [],
            "value_pairs": [pair],
        }
    ]
    assert [line.strip() for line in lines(associations(shown))[-2:]] == ["none", ""]
