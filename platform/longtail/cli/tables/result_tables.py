"""The house style of tables, and the tables of results."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from longtail.evaluation.results import Evaluation

METRICS = ("recall@10", "recall@50", "map@10", "map@50")
SLICES = ("overall", "head", "tail", "cold")


def grid(*columns: str, title: str | None = None) -> Table:
    """Return an empty table in the house style; a column named `#...` holds numbers."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for column in columns:
        is_number = column.startswith("#")
        table.add_column(
            column.removeprefix("#"), justify="right" if is_number else "left", no_wrap=is_number
        )
    return table


def facts(document: Mapping[str, Any], *, title: str | None = None) -> Table:
    """Return a table of two columns: the plain values of a document by name."""
    table = Table(title=title, box=None, show_header=False, title_justify="left", padding=(0, 2))
    for name, value in document.items():
        if isinstance(value, float):
            table.add_row(name.replace("_", " "), f"{value:,.4g}")
        elif isinstance(value, int) and not isinstance(value, bool):
            table.add_row(name.replace("_", " "), f"{value:,}")
        elif isinstance(value, str | bool):
            table.add_row(name.replace("_", " "), str(value))
    return table


def metrics(document: Mapping[str, Any]) -> Group:
    """Return tables: retrieval by slice, the weight of popularity, and the baselines if any."""
    table = grid("", *(f"#{name}" for name in METRICS), "#pairs", title="Retrieval, held-out pairs")
    for name, values in sorted(document["metrics"].items(), key=_slice_order):
        table.add_row(name, *_metric_cells(values))
    for name, values in sorted(
        document.get("memory", {}).get("metrics", {}).items(), key=_slice_order
    ):
        if name == SLICES[0]:
            table.add_section()
        table.add_row(f"with memory, {name}", *_metric_cells(values))
    for name, values in sorted(
        document.get("session", {}).get("metrics", {}).items(), key=_slice_order
    ):
        if name == SLICES[0]:
            table.add_section()
        table.add_row(f"history alone, {name}", *_metric_cells(values))
    curve = document.get("calibration", {}).get("curve")
    return Group(
        table,
        *_session(document),
        *([_calibration(document["calibration"])] if curve else ()),
        *(_baselines(document) if "baselines" in document else ()),
    )


def _session(document: Mapping[str, Any]) -> list[RenderableType]:
    """Return a sentence about what a session without an id keeps of the recall with it."""
    session = document.get("session")
    if session is None or session["recall_kept"] is None:
        return []
    with_id = session["with_id"]["overall"]["recall@50"]
    return [
        Text(
            f"By its history alone a session finds {session['recall_kept']:.0%} of what the same "
            f"query finds with its id (recall@50 {with_id:.4f}, {session['num_queries']:,} queries "
            "with a history).",
            style="dim",
        )
    ]


def _calibration(calibration: Mapping[str, Any]) -> Table:
    """Return the curve over the weight of popularity; the version's own weight stands in bold."""
    headings = ("#beta", "#recall@50", "#recall@10", "#map@50", "#head", "#tail", "#cold")
    table = grid(
        *headings,
        "#objective",
        title="Weight of popularity, validation part (head, tail, cold: recall@50)",
    )
    for point in calibration["curve"]:
        slices = point["metrics"]
        figures = [slices["overall"][name] for name in ("recall@50", "recall@10", "map@50")]
        figures += [slices[name]["recall@50"] for name in SLICES[1:]]
        table.add_row(
            f"{point['beta']:g}",
            *(f"{figure:.4f}" for figure in [*figures, point["objective"]]),
            style="bold" if point["beta"] == calibration["beta"] else None,
        )
    return table


def _baselines(document: Mapping[str, Any]) -> list[RenderableType]:
    """Return a table of the version and its baselines, and sentences about what is ahead."""
    from longtail.evaluation.baselines import comparison

    evaluation = cast("Evaluation", document)
    names = [comparison.column_name(*column) for column in comparison.COLUMNS]
    # A heading for each column in as few letters as fit on a line of 80 with the rest.
    short = [
        slice_name if slice_name != "overall" else metric
        for slice_name, metric in comparison.COLUMNS
    ]
    table = grid(
        "",
        *(f"#{name}" for name in short),
        title="The version beside its baselines (head, tail, cold: recall@50)",
    )
    for row in comparison.comparison_rows(evaluation):
        cells = [f"{row[name]:.4f}" for name in names]
        own = {document["version"]: "the model alone", comparison.WITH_MEMORY: "with its memory"}
        label = own.get(row["ranking"])
        table.add_row(label or str(row["ranking"]), *cells, style="dim" if label is None else None)
    ahead = comparison.baselines_ahead(evaluation)
    lines = [Text(sentence, style="yellow") for sentence in ahead]
    if not ahead:
        lines = [Text("No baseline finds more, on any slice.", style="green")]
    lines += [Text(line, style="dim") for line in comparison.remarks(document["baselines"])]
    return [table, *lines]


def _slice_order(entry: tuple[str, Any]) -> tuple[int, str]:
    name = entry[0]
    return (SLICES.index(name) if name in SLICES else len(SLICES), name)


def _metric_cells(values: Mapping[str, Any]) -> list[str]:
    cells = ["-" if values[name] is None else f"{values[name]:.4f}" for name in METRICS]
    return [*cells, f"{values['num_pairs']:,}"]


def results(document: Mapping[str, Any], title: str) -> Table:
    """Return a table of items with their scores, best first."""
    table = grid("##", "item", "#score", title=title)
    for rank, result in enumerate(document["results"], start=1):
        table.add_row(str(rank), result["item"], f"{result['score']:.3f}")
    return table


def versions(document: Mapping[str, Any]) -> Table:
    """Return a table of the versions on disk."""
    table = grid("version", "as of", "state", "#items", "created (UTC)")
    for entry in document["versions"]:
        num_items = entry.get("num_items")
        table.add_row(
            entry["version"],
            entry["as_of"],
            entry["state"],
            "" if num_items is None else f"{num_items:,}",
            (entry.get("created_at") or "")[: len("2023-06-10T12:00")].replace("T", " "),
            style="bold" if entry["state"] == "served" else None,
        )
    return table
