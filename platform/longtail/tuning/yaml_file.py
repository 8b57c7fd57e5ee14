"""Writes chosen values into a configuration file, and leaves every comment where it is."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.tokens import CommentToken

from longtail.artifacts import replaced_file
from longtail.errors import LongtailError

# Every comment of ours begins so. The next one takes its place.
SIGNATURE = "longtail tune"
# A list with its dashes below the key's first letter.
_FLUSH_LIST = re.compile(r"^( *)[^\s#-][^\n]*:[ \t]*\n\1- ", re.MULTILINE)
_OURS = re.compile(rf"(;\s*|#\s*){SIGNATURE} .*$")


class _WithNull(RoundTripRepresenter):
    """Writes `null` for no value, where ruamel would leave a gap before our comment."""


_WithNull.add_representer(
    type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
)


def write_changes(file: Path, changes: Mapping[str, Any], comment: str) -> None:
    """Set keys of a configuration file, each with a comment, and replace the file in one step.

    Args:
        file: the YAML file.
        changes: the new values by dotted key, such as `{"loss.temperature": 0.1}`.
        comment: what is said behind each of them, one line that begins with `SIGNATURE`.

    Raises:
        LongtailError: the new file would not be read back as the old one with these changes.
    """
    old = file.read_text(encoding="utf-8")
    new = changed_text(old, changes, comment)
    with replaced_file(file) as temporary:
        temporary.write_text(new, encoding="utf-8")
        temporary.chmod(file.stat().st_mode)


def changed_text(old: str, changes: Mapping[str, Any], comment: str) -> str:
    """Return the text of a configuration file with other values, see `write_changes`."""
    parser = YAML()
    parser.Representer = _WithNull
    parser.preserve_quotes = True
    parser.width = 10_000  # long lines stay as they are
    flush = _FLUSH_LIST.search(old) is not None
    parser.indent(mapping=2, sequence=2 if flush else 4, offset=0 if flush else 2)
    document: CommentedMap = parser.load(old)
    expected = yaml.safe_load(old)
    for key, value in changes.items():
        section, name = key.split(".")
        if document.get(section) is None:
            document[section] = CommentedMap()
        last = next(reversed(document[section]), None)
        is_new = name not in document[section]
        _set(document[section], name, value)
        if is_new and last is not None:
            _move_below(document[section], last, name)
        _comment(document[section], name, comment)
        # A new mapping: an alias elsewhere stands for the old one.
        expected[section] = {**(expected.get(section) or {}), name: value}
    written = io.StringIO()
    parser.dump(document, written)
    new = written.getvalue()
    # Nothing is written that reads as something else: a wrong configuration would train for hours.
    if yaml.safe_load(new) != expected:
        raise LongtailError(
            "the configuration file has a form that cannot be changed safely: enter the values "
            "that `longtail tune` has printed by hand"
        )
    return new


def _set(section: CommentedMap, name: str, value: Any) -> None:
    """Set a key. A list in brackets is changed in place, because it holds its own comment."""
    present = section.get(name)
    if isinstance(value, list) and isinstance(present, CommentedSeq):
        present[:] = value
    elif isinstance(value, list):
        section[name] = CommentedSeq(value)
        section[name].fa.set_flow_style()
    else:
        section[name] = value


def _move_below(section: CommentedMap, last: str, name: str) -> None:
    """Let the blank lines and comments that ended a section follow its new last key."""
    token = (section.ca.items.get(last) or [None] * 4)[2]
    if token is not None:
        line, _, below = token.value.partition("\n")
        token.value = f"{line}\n" if line else "\n"
        section.ca.items[name] = [
            None,
            None,
            CommentToken(f"\n{below}", CommentMark(0), None),
            None,
        ]


def _comment(section: CommentedMap, name: str, comment: str) -> None:
    """Put our comment at the end of a key's line, behind what stands there.

    The text behind a key up to the next key is one token: the rest of its line, and the lines of
    comments and blanks below.
    """
    tokens = section.ca.items.get(name)
    token = tokens[2] if tokens else None
    line, below = "", "\n"
    if token is not None:
        line, _, rest = token.value.partition("\n")
        below = f"\n{rest}"
    before = _OURS.sub("", line).rstrip()
    own = f"{before}; {comment}" if before else f"# {comment}"
    written = CommentToken(own + below, CommentMark(0), None)
    section.ca.items[name] = [*(tokens or [None, None])[:2], written, None]
