"""Correlations, masking plans and associations for a terminal of 80 columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from longtail.cli.tables.result_tables import grid
from longtail.correlation.display_text import readable_value, short_number

NUM_PAIRS = 8
# A correlation that prints as .00 has no association worth showing.
NEGLIGIBLE = 0.005
NUM_VALUE_PAIRS = 3
# Longest name in characters: in a narrow column, and elsewhere.
NAME, WHOLE_NAME = 24, 60
CELL = len("-.02 ")


class CorrelationMatrix:
    """The correlation matrix, each pair once.

    Columns are numbered, so that many fit side by side. Columns that do not fit the terminal follow
    below, in blocks. Figures above half of the highest are bold, those below a tenth of it dim. For
    a sample, each figure is followed by its error.

    Args:
        document: the document of `longtail mine`; read are `measure`, `features`, `matrix`,
            `errors`, `sample_fraction` and `num_items`.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._names: Sequence[str] = document["features"]
        self._matrix: Sequence[Sequence[float]] = document["matrix"]
        self._errors: Sequence[Sequence[float]] | None = document["errors"]
        self._cell_width = CELL if self._errors is None else CELL + len("±.02")
        self._title = f"Item features: {document['measure'].replace('_', ' ')}"
        if self._errors is not None:
            share = document["sample_fraction"]
            self._title += f", of {document['num_items']:,} items, {share:.2%} of the catalogue"
        # For the other measures the diagonal is always 1, which says nothing.
        self._diagonal_is_entropy = document["measure"] == "mutual_information"
        pairs = (value for row, values in enumerate(self._matrix) for value in values[:row])
        self._highest = max(pairs, default=0.0)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        labels = [Text(readable_value(name, NAME)) for name in self._names]
        label_width = len(f"{len(labels)} ") + max(label.cell_len for label in labels) + 1
        num_columns = max((options.max_width - label_width) // self._cell_width, 1)
        yield Text(self._title, style="bold")
        for first in range(0, len(labels), num_columns):
            yield Text()
            yield self._block(labels, range(first, min(first + num_columns, len(labels))))
        yield Text()

    def _block(self, labels: Sequence[Text], columns: range) -> Table:
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
        table.add_column("", justify="right", style="dim", no_wrap=True)
        table.add_column("", no_wrap=True)
        for column in columns:
            table.add_column(
                str(column + 1), justify="right", no_wrap=True, min_width=self._cell_width - 1
            )
        for row in range(columns[0], len(labels)):
            cells = (self._cell(row, column) for column in columns if column <= row)
            table.add_row(str(row + 1), labels[row], *cells)
        return table

    def _cell(self, row: int, column: int) -> Text:
        value = self._matrix[row][column]
        figure = short_number(value)
        if row == column and not self._diagonal_is_entropy:
            return Text("·", style="dim")
        if self._errors is not None:
            figure += f"±{short_number(self._errors[row][column])}"
        if row == column or value < 0.1 * self._highest:
            return Text(figure, style="dim")
        return Text(figure, style="bold" if value > 0.5 * self._highest else "")


def masking_plan(document: Mapping[str, Any]) -> Table:
    """Return a table of the features masked with each seed feature, and those never masked."""
    plan: Mapping[str, Sequence[str]] = document["plan"]
    table = grid("seed", "masked with it, most correlated first", title="Masking plan")
    for seed in document["features"]:
        if seed in plan:
            others = [name for name in plan[seed] if name != seed]
            table.add_row(_listed([seed]), _listed(others) if others else Text("nothing"))
    if not plan:
        table.add_row("none", "fewer than two features may be masked")
    kept = [name for name in document["features"] if name not in plan]
    _add_note(table, "Never masked: ", kept)
    return table


def associations(document: Mapping[str, Any]) -> Table:
    """Return a table of the value pairs behind the strongest correlations."""
    table = grid("", "", "#items", "#times chance", title="Strongest value associations")
    for pair, strength in _strongest(document):
        left, right = (readable_value(name, NAME) for name in pair["features"])
        table.add_row(
            Text(left), Text.assemble(right, (f" ({strength})", "not bold")), style="bold"
        )
        for each in pair["value_pairs"][:NUM_VALUE_PAIRS]:
            cells = (_value_cell(value) for value in each["values"])
            table.add_row(*cells, f"{each['items']:,.0f}", f"{each['lift']:,.1f}")
    if not table.row_count:
        table.add_row("none")
    listed = {name: None for pair in document["associations"] for name in pair["near_unique"]}
    _add_note(table, "Not listed, because hardly two items share a value: ", list(listed))
    return table


def _strongest(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the pairs with associations and the highest correlations, each with that figure."""
    place = {name: index for index, name in enumerate(document["features"])}

    def correlation(pair: Mapping[str, Any]) -> float:
        left, right = pair["features"]
        return float(document["matrix"][place[left]][place[right]])

    listed = [pair for pair in document["associations"] if pair["value_pairs"]]
    for pair in sorted(listed, key=correlation, reverse=True)[:NUM_PAIRS]:
        if correlation(pair) >= NEGLIGIBLE:
            yield pair, short_number(correlation(pair))


def _value_cell(value: str | int | None) -> Text:
    # On a narrow terminal values are cut, so that figures stay whole and rows on one line.
    return Text(f"  {readable_value(value)}", no_wrap=True, overflow="ellipsis")


def _listed(names: Sequence[str]) -> Text:
    return Text(", ").join(Text(readable_value(name, WHOLE_NAME)) for name in names)


def _add_note(table: Table, words: str, names: Sequence[str]) -> None:
    """Put a line with some names below a table, if there are any."""
    if names:
        table.caption_justify = "left"
        table.caption_style = "none"
        table.caption = Text.assemble(words, _listed(names), "\n")
