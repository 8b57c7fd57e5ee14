"""A study's tables as plain text cells, for Markdown, HTML and the terminal alike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from longtail.study.cells import Document
from longtail.study.paper_figures import APP_INSTALLS, WIKIPEDIA
from longtail.study.summary import METRICS

TITLES = {
    "recall@10": "Recall@10",
    "recall@50": "Recall@50",
    "map@10": "MAP@10",
    "map@50": "MAP@50",
}
NOTHING = "-"

Rows = dict[tuple[str, float, str, str], Document]


@dataclass(frozen=True)
class Table:
    """A title, the names of the columns, and rows of as many texts; the first one is a name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def index(summary: Iterable[Document]) -> Rows:
    """The rows of a summary by variant, fraction, slice and metric."""
    return {(row["variant"], row["fraction"], row["slice"], row["metric"]): row for row in summary}


def reference(document: Document) -> str:
    """The variant that gains are measured against."""
    return str(document["manifest"]["plan"]["reference"])


def fractions(document: Document) -> list[float]:
    """In the order of the summary, the largest first."""
    return list(dict.fromkeys(row["fraction"] for row in document["summary"]))


def variants(document: Document, fraction: float) -> list[str]:
    """Those that have cells at a fraction, in the study's order."""
    rows = document["summary"]
    return list(dict.fromkeys(row["variant"] for row in rows if row["fraction"] == fraction))


def fraction_tables(document: Document, fraction: float) -> list[Table]:
    """All tables of one fraction."""
    tables = [overall_table(document, fraction)]
    if any(row["relative_gain"] is not None for row in document["summary"]):
        tables.append(gain_table(document, fraction))
    tables.append(slice_table(document, fraction))
    tables.append(settings_table(document, fraction))
    return tables


def overall_table(document: Document, fraction: float) -> Table:
    """All metrics over the whole catalogue, with half of their intervals."""
    rows = index(document["summary"])
    return Table(
        "Overall, mean ± half of the 95% interval over seeds",
        ("variant", *(TITLES[metric] for metric in METRICS), "seeds"),
        tuple(
            (
                label(variant),
                *(level(rows[variant, fraction, "overall", metric]) for metric in METRICS),
                str(rows[variant, fraction, "overall", METRICS[0]]["num_seeds"]),
            )
            for variant in variants(document, fraction)
        ),
    )


def gain_table(document: Document, fraction: float) -> Table:
    """Relative gains over the reference, ours; and over its baseline, the paper's."""
    rows = index(document["summary"])
    shown = [variant for variant in variants(document, fraction) if variant != reference(document)]
    columns: list[str] = []
    for metric in METRICS:
        columns += [TITLES[metric], "paper"]
    return Table(
        f"Relative gain over {label(reference(document))}, overall [95% interval of the paired "
        "difference]; the paper's own gains on Wikipedia / app installs",
        ("variant", *columns),
        tuple(
            (label(variant), *_gains(rows, variant, fraction, [("overall", m) for m in METRICS]))
            for variant in shown
        ),
    )


def slice_table(document: Document, fraction: float) -> Table:
    """Recall@50 of head, tail and cold items, with the relative gains."""
    rows = index(document["summary"])
    slices = ("head", "tail", "cold")
    columns: list[str] = []
    for name in slices:
        columns += [name, "gain"]
    table = []
    for variant in variants(document, fraction):
        cells = [label(variant)]
        for name in slices:
            row = rows[variant, fraction, name, "recall@50"]
            cells += [level(row), gain(row)]
        table.append(tuple(cells))
    title = f"Recall@50 by popularity slice, and its gain over {label(reference(document))}"
    return Table(title, ("variant", *columns), tuple(table))


def settings_table(document: Document, fraction: float) -> Table:
    """What each variant's models were trained with."""
    choices = {(c["variant"], c["fraction"]): c for c in document["choices"]}
    table = []
    for variant in variants(document, fraction):
        choice = choices.get((variant, fraction))
        if choice is None:
            continue
        settings = ", ".join(f"{k} {v:.4g}" for k, v in choice["settings"].items())
        score = NOTHING if choice["score"] is None else f"{choice['score']:.4f}"
        table.append(
            (
                label(variant),
                settings or "the configuration's",
                str(choice["num_epochs"]),
                str(len(choice["trials"])),
                score,
            )
        )
    return Table(
        "Hyper-parameters, and the validation figure that they were chosen by",
        ("variant", "settings", "epochs", "trials", "validation"),
        tuple(table),
    )


def label(variant: str) -> str:
    """A variant's name for people."""
    return variant.replace("_", " ")


def level(row: Document) -> str:
    """`0.2691 ± 0.0012`."""
    if row["high"] is None:
        return f"{row['mean']:.4f}"
    return f"{row['mean']:.4f} ± {row['high'] - row['mean']:.4f}"


def gain(row: Document) -> str:
    """`+4.1% [+3.2, +5.0]`."""
    if row["relative_gain"] is None:
        return NOTHING
    text = f"{row['relative_gain']:+.1%}"
    paired = row["relative_difference"]
    if paired["low"] is not None:
        text += f" [{100 * paired['low']:+.1f}, {100 * paired['high']:+.1f}]"
    return text


def paper(row: Document) -> str:
    """`+4.1% / +7.5%`, the first of Wikipedia; a dash where the paper has nothing."""
    gains = row["paper"] or {}
    if not gains:
        return NOTHING
    return " / ".join(
        f"{gains[name]:+.1%}" if name in gains else NOTHING for name in (WIKIPEDIA, APP_INSTALLS)
    )


def _gains(
    rows: Rows, variant: str, fraction: float, figures: Sequence[tuple[str, str]]
) -> list[str]:
    cells = []
    for slice_name, metric in figures:
        row = rows[variant, fraction, slice_name, metric]
        cells += [gain(row), paper(row)]
    return cells
