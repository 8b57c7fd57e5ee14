"""The table of value associations on an asset's page."""

from typing import Any

import pytest

from assets.associations import association_table

NASTY = [
    ("a|b", "a\\|b"),
    ("<script>", "\\<script\\>"),
    ("`code` [link](x) *b*", "\\`code\\` \\[link\\]\\(x\\) \\*b\\*"),
    ("two\nlines", "two\\\\nlines"),
    ("NUL \0", "NUL \\\\x00"),
    ("snake 🐍", "snake 🐍"),
    (None, "\\(missing\\)"),
    ("", '""'),
]


def document(**overrides: Any) -> dict[str, Any]:
    pair = {"values": ["net", 7], "items": 1234.4, "lift": 2.55, "information": 0.1}
    return {
        "features": ["item_id", "section", "size"],
        "matrix": [[1.0, 0.0, 0.5], [0.0, 1.0, 0.25], [0.5, 0.25, 1.0]],
        "associations": [
            {"features": ["item_id", "section"], "near_unique": ["item_id"], "value_pairs": []},
            {"features": ["item_id", "size"], "near_unique": ["item_id"], "value_pairs": []},
            {"features": ["section", "size"], "near_unique": [], "value_pairs": [pair] * 5},
        ],
        **overrides,
    }


def rows(shown: dict[str, Any]) -> list[list[str]]:
    text = association_table(shown).value
    assert isinstance(text, str)
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines()[2:]
    ]


def test_pairs_come_in_order_with_what_carries_them() -> None:
    unique = "hardly two items share a value of item\\_id"
    told = "<br>".join(["net · 7: 1,234 items, 2.5 times chance"] * 3)
    assert rows(document()) == [
        ["item\\_id · size", ".50", unique],
        ["section · size", ".25", told],
        ["item\\_id · section", "0", unique],
    ]


@pytest.mark.parametrize(("value", "shown"), NASTY)
def test_a_value_is_neither_markup_nor_a_control_character(value: Any, shown: str) -> None:
    pair = {"values": [value, value], "items": 3.0, "lift": 1.0, "information": 0.1}
    associations = [{"features": ["section", "size"], "near_unique": [], "value_pairs": [pair]}]
    ((_, _, told),) = rows(document(associations=associations))
    assert told == f"{shown} · {shown}: 3 items, 1.0 times chance"


def test_a_pair_without_associations_says_so_and_too_many_are_left_out() -> None:
    nothing = {"features": ["section", "size"], "near_unique": [], "value_pairs": []}
    found = rows(document(associations=[nothing] * 45))
    assert found[0] == ["section · size", ".25", "none"]
    assert len(found) == 40 + 2  # an empty line, and the note
    assert found[-1] == ["5 weaker pairs are in `correlations.json`."]
