"""The command `report`: a page that shows what a version is, and what it changed."""

from typing import Annotated

import typer

from longtail.cli.options import ConfigOption, JsonOption
from longtail.cli.output import output
from longtail.cli.tables import result_tables as tables
from longtail.config import load_config


def report(
    version: Annotated[str | None, typer.Argument(help="Default: the served version.")] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a page about a version: its data, recall, space and neighbours, and what changed."""
    from longtail.report.write import write_report

    with output(as_json) as out:
        document = write_report(load_config(config), version)
        out.result(document, tables.facts(document))
        if open_page:
            import webbrowser
            from pathlib import Path

            webbrowser.open(Path(document["page"]).resolve().as_uri())
