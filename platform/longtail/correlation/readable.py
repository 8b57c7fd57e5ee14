"""Values and figures of a catalogue in a form that a terminal, a page and a person can take."""

# Joiners print nothing by themselves, but hold emoji and Persian words together.
_JOINERS = "\u200c\u200d"
MISSING = "(missing)"


def short_number(value: float) -> str:
    """A correlation in four characters at most: `.37`, `0`, `1.0`, `4.6`, `11`, `-.02`."""
    if abs(value) < 0.005:
        return "0"
    if abs(value) < 0.995:
        return f"{value:.2f}".replace("0.", ".", 1)
    return f"{value:.1f}" if abs(value) < 9.95 else f"{value:.0f}"


def readable_value(value: str | int | None, max_characters: int = 40) -> str:
    """One line without control characters; None is `(missing)`.

    What does not print (NUL, line ends, escape sequences, direction marks) stands as its escape,
    what is too long ends in an ellipsis, and what a reader would take for nothing, or for a missing
    value, stands in quotes.
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
    return f'"{shown}"' if text == MISSING or text != text.strip() or not text else shown
