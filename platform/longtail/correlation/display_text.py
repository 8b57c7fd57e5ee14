"""Values and figures of a catalogue as text that is safe and short enough to show."""

from rich.cells import cell_len

# Joiners are invisible, but hold emoji and Persian words together.
_JOINERS = "\u200c\u200d"
MISSING = "(missing)"


def short_number(value: float) -> str:
    """Return a correlation in at most four characters: `.37`, `0`, `1.0`, `4.6`, `11`, `-.02`."""
    if abs(value) < 0.005:
        return "0"
    if abs(value) < 0.995:
        return f"{value:.2f}".replace("0.", ".", 1)
    return f"{value:.1f}" if abs(value) < 9.95 else f"{value:.0f}"


def readable_value(value: str | int | None, max_characters: int = 40) -> str:
    """Return a value as one line without control characters; None becomes `(missing)`.

    Characters that do not print (NUL, line ends, escape sequences, direction marks) are escaped.
    A long value is cut and ends in an ellipsis. A value is quoted if it would look empty, has
    spaces at an end, or reads `(missing)`.
    """
    if value is None:
        return MISSING
    text = str(value)
    # Cut first: a value may be a megabyte, and an escape must not be cut in two.
    shortened = text if len(text) <= max_characters else text[: max_characters - 1] + "…"
    shown = "".join(
        character
        if character.isprintable() or character in _JOINERS
        else character.encode("unicode_escape").decode("ascii")
        for character in shortened
    )
    # A joiner or a skin tone alone has no width on a terminal.
    looks_empty = text != text.strip() or cell_len(shown) == 0
    return f'"{shown}"' if text == MISSING or looks_empty else shown
