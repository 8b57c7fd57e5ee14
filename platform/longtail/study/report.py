"""Writes the pages of a study from its document: `study.md`, and `study.html` with plots."""

import html
from pathlib import Path

from longtail.artifacts import replaced_file
from longtail.study.cells import Document
from longtail.study.tables import Table, fraction_tables, fractions

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-size: 14px; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #d8dee4;
         font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #8c959f; }
caption { text-align: left; color: #57606a; padding-bottom: .3rem; }
code, pre { background: #f6f8fa; padding: .1rem .3rem; }
pre { padding: .8rem; overflow-x: auto; }
img { max-width: 100%; }
"""


def write_markdown(folder: Path, document: Document) -> None:
    """Write `study.md`."""
    parts = [f"# {_title(document)}", *(f"- {line}" for line in facts(document)), ""]
    for fraction in fractions(document):
        parts += [f"## {_heading(fraction)}", ""]
        for table in fraction_tables(document, fraction):
            parts += [f"{table.title}:", "", *_markdown(table), ""]
    _write(folder / "study.md", "\n".join(parts).rstrip() + "\n")


def write_html(folder: Path, document: Document) -> None:
    """Write `study.html`, which needs no other file."""
    # Imported here because matplotlib takes long to import, and `study.md` does without it.
    from longtail.study import plots

    parts = [f"<h1>{html.escape(_title(document))}</h1>", "<ul>"]
    parts += [f"<li>{_inline_code(line)}</li>" for line in facts(document)] + ["</ul>"]
    for fraction in fractions(document):
        parts.append(f"<h2>{_heading(fraction)}</h2>")
        parts += [_html(table) for table in fraction_tables(document, fraction)]
        for title, image in plots.all_plots(document, fraction):
            parts += [f"<h3>{html.escape(title)}</h3>", f'<img alt="{title}" src="{image}">']
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{html.escape(_title(document))}</title>\n<style>{_STYLE}</style>\n</head>\n"
        "<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )
    _write(folder / "study.html", page)


def facts(document: Document) -> list[str]:
    """Return lines that say how the figures came about, with code in backquotes."""
    # Always there: the command, the number of models, and the data.
    manifest = document["manifest"]
    plan, machine = manifest["plan"], manifest["machine"]
    dataset, study = manifest["config"]["dataset"], manifest["config"]["study"]
    lines = [
        f"`{manifest['command']}`, {manifest['date'][:10]}",
        f"{len(document['cells'])} of {manifest['num_cells']} models, seeds 1 to "
        f"{plan['num_seeds']}; {manifest['seconds'] / 3600:.1f} hours of training and measuring",
        f"Data up to {manifest['as_of']} (`{manifest['data'][:12]}`); split by {dataset['split']}, "
        + (
            f"{dataset['validation_fraction']:g} validation, {dataset['test_fraction']:g} test"
            if dataset["split"] == "hash"
            else f"{dataset['validation_days']} validation and {dataset['test_days']} test days"
        ),
    ]
    # Only where they apply, so that a plain study has a short head.
    if plan["tune"]:
        lines.append(
            f"Hyper-parameters and epochs chosen by {study['metric_slice']} {study['metric']} on "
            f"the validation part, seed {study['tuning_seed']}; the test part was measured once, "
            "at the end"
        )
    if plan["settings"]:
        changed = ", ".join(f"`{key}: {value}`" for key, value in plan["settings"].items())
        lines.append(f"For all variants: {changed}")
    for environment in manifest["environments"]:
        lines.append(
            f"{machine['num_cores']} cores ({machine['cpu']}), {environment['num_threads']} "
            f"thread(s) a model; torch {environment['torch']}, torchrec {environment['torchrec']}"
        )
    if len(manifest["sources"]) > 1:
        lines.append(
            f"**Models of {len(manifest['sources'])} states of the code stand side by side here**: "
            "`source` of each cell in `study.json` tells them apart"
        )
    lines += [f"**Failed**: {name}: {why}" for name, why in document["failures"].items()]
    return lines


def _title(document: Document) -> str:
    return str(document["manifest"]["plan"]["about"])


def _heading(fraction: float) -> str:
    """Return the heading of the section of a fraction."""
    return f"Trained on {fraction:.4g} of the training part" if fraction < 1 else "All data"


def _markdown(table: Table) -> list[str]:
    rows = [[cell.replace("|", "\\|") for cell in row] for row in (table.columns, *table.rows)]
    rule = ["---", *("--:" for _ in table.columns[1:])]
    return [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]


def _html(table: Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.columns)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return (
        f"<table>\n<caption>{html.escape(table.title)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>"
    )


def _inline_code(line: str) -> str:
    """Turn a line of `facts` into HTML."""
    # Splitting at backquotes leaves code in every second piece.
    pieces = html.escape(line).replace("**", "").split("`")
    return "".join(
        f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces)
    )


def _write(path: Path, text: str) -> None:
    with replaced_file(path) as temporary:
        temporary.write_text(text, "utf-8")
