"""Values and figures as text for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from longtail.correlation.display_text import readable_value, short_number


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "(missing)"),
        ("(missing)", '"(missing)"'),
        ("", '""'),
        (" padded", '" padded"'),
        (7, "7"),
        ("net", "net"),
        ("a\0b", "a\\x00b"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines", "two\\nlines"),
        ("snake 🐍", "snake 🐍"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("evil\u202etxt", "evil\\u202etxt"),
        ("\U0001f3fb", '"\U0001f3fb"'),  # alone, it has no width
        ("\u200d", '"\u200d"'),
        ("x" * 41, "x" * 39 + "…"),
        ("x" * 40, "x" * 40),
    ],
)
def test_a_value_is_one_line(value: str | int | None, shown: str) -> None:
    assert readable_value(value) == shown


@given(st.text(max_size=200))
def test_nothing_moves_the_cursor(value: str) -> None:
    shown = readable_value(value)
    assert all(character.isprintable() or character in "\u200c\u200d" for character in shown)
    assert cell_len(shown) >= 1


@given(st.floats(-1.0, 20.0))
def test_a_figure_has_four_characters_at_most(value: float) -> None:
    shown = short_number(value)
    assert len(shown) <= 4
    assert float(shown) == pytest.approx(value, abs=0.00501 if abs(value) < 0.995 else 0.501)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.374, ".37"), (-0.02, "-.02"), (0.996, "1.0"), (4.55, "4.5"), (11.05, "11")],
)
def test_figures_by_hand(value: float, shown: str) -> None:
    assert short_number(value) == shown
