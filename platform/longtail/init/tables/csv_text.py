"""Opens a CSV file as a stream of text: decompressed, in UTF-8, and without what no reader expects.

PyArrow takes a blank between a delimiter and a quote for the start of an unquoted cell, and knows
no comments. `Tidying` removes both on the way, a block of whole rows at a time.
"""

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from longtail.errors import InputError

_BLOCK_BYTES = 1 << 20
_HEAD_BYTES = 1 << 18
# The search for the end of a quoted cell goes no further.
_LONGEST_ROW = 1 << 26
_BLANK_BEFORE_QUOTE = re.compile(rb'(?:\A|[,;|:~^\t\r\n])[ \t]+"')


@dataclass(frozen=True)
class TextFile:
    """A CSV file that holds UTF-8.

    Attributes:
        path: where it is.
        head: its first lines, whole ones unless the first line alone is longer.
        has_blank_before_quote: a blank stands before a quote somewhere.
    """

    path: Path
    head: str
    has_blank_before_quote: bool


def inspect_text(path: Path) -> TextFile:
    """Read a file once, and refuse what is not text in UTF-8.

    Raises:
        InputError: it is in another encoding, it has a NUL byte, or its compression is broken.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    num_lines, has_blank_before_quote = 0, False
    cure = f"save it as UTF-8, or convert it, as in `iconv -f {{}} -t UTF-8 {path.name}`"
    try:
        with open_text(path) as stream:
            start = stream.peek(_BLOCK_BYTES)
            if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise InputError(f"{path} is not text in UTF-8: {cure.format('UTF-16')}")
            head = stream.read(_HEAD_BYTES)
            block = head
            while block:
                # ASCII needs no decoding, unless the last block ended within a character.
                if not block.isascii() or decoder.getstate()[0]:
                    decoder.decode(block)
                if b"\0" in block:
                    line = num_lines + block[: block.index(b"\0")].count(b"\n") + 1
                    raise InputError(
                        f"{path} is not text in UTF-8: line {line} has a NUL byte, as in UTF-16 or "
                        f"in a damaged file; {cure.format('UTF-16')}"
                    )
                has_blank_before_quote |= _BLANK_BEFORE_QUOTE.search(block) is not None
                # The blank may be the last byte of the block before.
                has_blank_before_quote |= block.startswith(b'"') and block is not head
                num_lines += block.count(b"\n")
                block = stream.read(_BLOCK_BYTES)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line = num_lines + error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path} is not text in UTF-8: line {line} has the byte 0x"
            f"{error.object[error.start]:02x}; {cure.format('WINDOWS-1252')}"
        ) from error
    except OSError as error:
        cure = "compress it with gzip again, or unpack it" if path.suffix == ".gz" else "try again"
        raise InputError(f"{path} cannot be read ({error}): {cure}") from error
    return TextFile(path, whole_lines(head), has_blank_before_quote)


def whole_lines(head: bytes) -> str:
    """Return the text of the first bytes of a file, up to the end of the last whole line."""
    if len(head) >= _HEAD_BYTES and b"\n" in head:
        head = head[: head.rindex(b"\n") + 1]
    return head.decode(errors="ignore")


def read_head(stream: io.BufferedReader) -> str:
    """Return the first lines of a stream."""
    return whole_lines(stream.read(_HEAD_BYTES))


@contextmanager
def open_text(path: Path, tidying: "Tidying | None" = None) -> Iterator[io.BufferedReader]:
    """Open a file, decompressed if its name ends in `.gz`, behind its byte order mark."""
    with pa.input_stream(path, compression="detect") as raw:
        stream = io.BufferedReader(raw, _BLOCK_BYTES)
        if stream.peek(3).startswith(codecs.BOM_UTF8):
            stream.read(3)
        if tidying is not None:
            stream = io.BufferedReader(_Blocks(tidying.run(stream)), _BLOCK_BYTES)
        yield stream


def line_number(path: Path, row: str) -> int:
    """Return the number of the first line that is the start of a row; 0 if there is none."""
    start = (row.splitlines() or [""])[0].encode()
    with open_text(path) as stream:
        lines = (line.rstrip(b"\r\n") for line in stream)
        return next((number for number, line in enumerate(lines, 1) if line == start), 0)


def check_quotes(path: Path, delimiter: str, comment: str | None) -> None:
    """Refuse a file with a quote that is never closed, or closed in the middle of a cell.

    Raises:
        InputError: there is one.
    """
    with open_text(path) as stream:
        for _ in Tidying(path, delimiter, comment, is_strict=True).whole_rows(stream):
            pass


class Tidying:
    """Removes comment lines, and blanks between delimiters and quotes.

    Attributes:
        num_comments: lines that were removed so far. Their line ends stay.
        has_cut: blanks were removed.
    """

    def __init__(
        self, path: Path, delimiter: str, comment: str | None, *, is_strict: bool = False
    ) -> None:
        """Prepare the patterns.

        Args:
            delimiter: the character between two cells.
            comment: lines that begin with it are comments.
            is_strict: a quoted cell must end at its closing quote.
        """
        mark = re.escape(delimiter.encode())
        blanks = b"[" + b" \t".replace(delimiter.encode(), b"") + b"]*+"
        line_start, cell_start = rb"(?:\A|(?<=[\r\n]))", rb"(?:\A|(?<=[" + mark + rb"\r\n]))"
        quoted = rb'"[^"]*+(?:""[^"]*+)*+"'
        rest = rb"" if is_strict else rb"[^" + mark + rb"\r\n]*+"
        bare = rb"(?!" + blanks + rb'")[^' + mark + rb"\r\n]*+"
        cell = rb"(?:" + blanks + quoted + blanks + rest + rb"|" + bare + rb")"
        row = cell + rb"(?:" + mark + cell + rb")*+(?:\r\n|\r|\n)"
        note = b"" if comment is None else re.escape(comment.encode()) + rb"[^\r\n]*+"
        self._rows = re.compile(
            rb"(?:" + (note + rb"(?:\r\n|\r|\n)|" if note else b"") + row + rb")*+"
        )
        # Quoted cells are matched as well and stay, so that nothing is found inside them.
        kept = rb"(" + cell_start + blanks + quoted + rb")"
        self._comments = re.compile(line_start + note + rb"|" + kept) if note else None
        inner = rb"(" + quoted + rb")" + blanks + rb"(?=[" + mark + rb"\r\n]|\Z)"
        self._blanks = re.compile(cell_start + blanks + inner + rb"|" + kept)
        self._path = path
        self.num_comments, self.has_cut = 0, False

    def run(self, stream: io.BufferedReader) -> Iterator[bytes]:
        """Yield the text without comments and blanks before quotes."""
        for text in self.whole_rows(stream):
            num_found = 0
            if self._comments is not None:
                text, num_found = self._comments.subn(rb"\1", text)
            tidied, num_quoted = self._blanks.subn(rb"\1\2", text)
            # Both patterns find each quoted cell once, so what is left are comments.
            self.num_comments += max(num_found - num_quoted, 0)
            self.has_cut |= len(tidied) < len(text)
            yield tidied

    def whole_rows(self, stream: io.BufferedReader) -> Iterator[bytes]:
        """Yield the text in pieces that end with a row.

        Raises:
            InputError: a quoted cell does not end.
        """
        rest, num_lines, is_end = b"", 0, False
        while not is_end:
            # Twice the size, so that a long row is not searched from its start too often.
            block = stream.read(max(_BLOCK_BYTES, len(rest)))
            is_end = not block
            rest += block if block else b"\n"
            found = self._rows.match(rest)
            assert found is not None
            end = found.end()
            if end < len(rest) and (is_end or len(rest) - end > _LONGEST_ROW):
                line = num_lines + rest[:end].count(b"\n") + 1
                raise InputError(
                    f"{self._path} cannot be read as CSV: the row in line {line} "
                    f"(`{rest[end : end + 60].decode(errors='replace').splitlines()[0]}`) has a "
                    "quote that is never closed, or text behind a closing quote: put quotes around "
                    'the whole cell, and write a quote inside it as ""'
                )
            num_lines += rest[:end].count(b"\n")
            yield rest[:end]
            rest = rest[end:]


class _Blocks(io.RawIOBase):
    """A readable stream of blocks."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._block = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._block:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._block = block
        size = min(len(buffer), len(self._block))
        buffer[:size], self._block = self._block[:size], self._block[size:]
        return size
