"""The tables of a study as rows of text, for Markdown, HTML and the terminal."""

from collections.abc import Iterable
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
    """A title, the names of the columns, and rows of text; the first column holds names."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def index(summary: Iterable[Document]) -> Rows:
    """Return the rows of a summary by variant, fraction, slice and metric."""
    return {(row["variant"], row["fraction"], row["slice"], row["metric"]): row for row in summary}


def reference(document: Document) -> str:
    """Return the variant that gains are measured against."""
    return str(document["manifest"]["plan"]["reference"])


def fractions(document: Document) -> list[float]:
    """Return the fractions in the order of the summary, the largest first."""
    return list(dict.fromkeys(row["fraction"] for row in document["summary"]))


def variants(document: Document, fraction: float) -> list[str]:
    """Return the variants that have cells at a fraction, in the study's order."""
    rows = document["summary"]
    return list(dict.fromkeys(row["variant"] for row in rows if row["fraction"] == fraction))


def choice_of(document: Document, variant: str, fraction: float) -> Document | None:
    """Return the chosen hyper-parameters of a variant at a fraction, or None."""
    for choice in document["choices"]:
        if (choice["variant"], choice["fraction"]) == (variant, fraction):
            found: Document = choice
            return found
    return None


def fraction_tables(document: Document, fraction: float) -> list[Table]:
    """Return all tables of one fraction."""
    tables = [overall_table(document, fraction)]
    if any(row["relative_gain"] is not None for row in document["summary"]):
        tables.append(gain_table(document, fraction))
    tables.append(slice_table(document, fraction))
    tables.append(settings_table(document, fraction))
    return tables


def overall_table(document: Document, fraction: float) -> Table:
    """Return the table of all metrics over the whole catalogue, with half of their intervals."""
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
    """Return the table of our relative gains over the reference, and the paper's gains."""
    rows = index(document["summary"])
    columns: list[str] = []
    for metric in METRICS:
        columns += [TITLES[metric], "paper"]
    table = []
    for variant in variants(document, fraction):
        if variant == reference(document):
            continue
        cells = [label(variant)]
        for metric in METRICS:
            row = rows[variant, fraction, "overall", metric]
            cells += [gain(row), paper(row)]
        table.append(tuple(cells))
    title = (
        f"Relative gain over {label(reference(document))}, overall [95% interval of the paired "
        "difference]; the paper's own gains on Wikipedia / app installs"
    )
    return Table(title, ("variant", *columns), tuple(table))


def slice_table(document: Document, fraction: float) -> Table:
    """Return the table of Recall@50 of head, tail and cold items, with the relative gains."""
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
    """Return the table of the hyper-parameters that each variant was trained with."""
    table = []
    for variant in variants(document, fraction):
        choice = choice_of(document, variant, fraction)
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
    """Return a variant's name as it is shown."""
    return variant.replace("_", " ")


def level(row: Document) -> str:
    """Return a mean with half of its interval: `0.2691 ± 0.0012`."""
    if row["high"] is None:
        return f"{row['mean']:.4f}"
    return f"{row['mean']:.4f} ± {row['high'] - row['mean']:.4f}"


def gain(row: Document) -> str:
    """Return a relative gain with the interval of the difference: `+4.1% [+3.2, +5.0]`."""
    if row["relative_gain"] is None:
        return NOTHING
    text = f"{row['relative_gain']:+.1%}"
    paired = row["relative_difference"]
    if paired["low"] is not None:
        text += f" [{100 * paired['low']:+.1f}, {100 * paired['high']:+.1f}]"
    return text


def paper(row: Document) -> str:
    """Return the paper's gains on Wikipedia and app installs, `+4.1% / +7.5%`; a dash for none."""
    gains = row["paper"] or {}
    if not gains:
        return NOTHING
    return " / ".join(
        f"{gains[name]:+.1%}" if name in gains else NOTHING for name in (WIKIPEDIA, APP_INSTALLS)
    )
