"""Writes Python source as `ruff format` would."""

import json
from collections.abc import Mapping

LINE_LENGTH = 100


def text(value: str) -> str:
    """Return a string literal."""
    return json.dumps(value, ensure_ascii=False)


def call(name: str, arguments: Mapping[str, str], indent: int) -> str:
    """Return a call with keyword arguments and a comma after it, on one line if it fits.

    Args:
        arguments: the source of each value, by keyword.
        indent: number of spaces before the call.
    """
    given = [f"{keyword}={value}" for keyword, value in arguments.items()]
    line = f"{' ' * indent}{name}({', '.join(given)}),"
    if len(line) <= LINE_LENGTH:
        return line
    inner = " " * (indent + 4)
    return "\n".join(
        [
            f"{' ' * indent}{name}(",
            *(f"{inner}{argument}," for argument in given),
            f"{' ' * indent}),",
        ]
    )


def dictionary(entries: Mapping[str, str]) -> str:
    """Return a dictionary literal of strings, on one line."""
    return "{" + ", ".join(f"{text(key)}: {text(value)}" for key, value in entries.items()) + "}"


def comment(words: str, indent: int = 0) -> str:
    """Return a comment, wrapped to the line length."""
    lines, line = [], ""
    width = LINE_LENGTH - indent - len("# ")
    for word in words.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join(f"{' ' * indent}# {each}" for each in [*lines, line])
