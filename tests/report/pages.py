"""A page taken apart: its text by section, its tables, and what it would load."""

from html.parser import HTMLParser

VOID = {"meta", "input", "img", "br", "hr", "link"}


class Page(HTMLParser):
    """A page, parsed.

    Attributes:
        text: the text of each section, by its id; that of the header is under `header`.
        tables: the rows of each table, by its class and metric: cells as text.
        tags: every tag that was opened, with its attributes.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._section = ""
        self._rows: list[list[str]] | None = None
        self.feed(source)
        self.close()
        assert self._open == [], "a tag is not closed"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.tags.append((tag, found))
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("section", "header", "footer"):
            self._section = found.get("id") or tag
        if tag == "table":
            name = " ".join(filter(None, (found.get("class"), found.get("data-metric"))))
            self._rows = self.tables.setdefault(name, [])
        if self._rows is not None and tag == "tr":
            self._rows.append([])
        if self._rows and tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "table":
            self._rows = None

    def handle_data(self, data: str) -> None:
        if "script" in self._open or "style" in self._open:
            return
        words = " ".join(data.split())
        if not words:
            return
        self.text[self._section] = f"{self.text.get(self._section, '')} {words}".strip()
        if self._rows and self._rows[-1] and ("td" in self._open or "th" in self._open):
            self._rows[-1][-1] = f"{self._rows[-1][-1]} {words}".strip()
