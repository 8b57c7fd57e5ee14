"""`bench`: the benchmarks of a checkout, by name."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from longtail.cli.options import JsonOption
from longtail.cli.output import output
from longtail.errors import InputError, LongtailError

_FOLDER = Path(__file__).resolve().parents[3] / "ops" / "benchmarks"
# The module beside the benchmarks that they share; it is not one itself.
_SHARED = "report"

NameArgument = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Without it, the names are listed.")
]


def bench(context: typer.Context, name: NameArgument = None, as_json: JsonOption = False) -> None:
    """Run a benchmark against its reference in the same run. Other options go to the benchmark."""
    with output(as_json) as out:
        names = sorted(file.stem for file in _FOLDER.glob("*.py") if file.stem != _SHARED)
        if not names:
            raise InputError(f"no benchmarks in {_FOLDER}: run this from a checkout of longtail")
        if name is None:
            out.result({"benchmarks": names}, *names)
            return
        if name not in names:
            raise InputError(f"no such benchmark: {name}; there are {', '.join(names)}")
        # A process of its own, because a benchmark measures its own memory, and is a script.
        command = [sys.executable, str(_FOLDER / f"{name}.py"), "--json", *context.args]
        finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if finished.returncode == 2:  # argparse has said what is wrong
            raise InputError(f"the benchmark {name} does not know these options: see above")
        if finished.returncode != 0:
            raise LongtailError(f"the benchmark {name} failed: see its error above")
        document = json.loads(finished.stdout)
        out.result(document, *(_table(title, document[title]) for title in ("ratios", "measured")))


def _table(title: str, figures: dict[str, object]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for label, value in figures.items():
        table.add_row(label, f"{value:.4g}" if isinstance(value, float) else str(value))
    return table
