"""`init`: makes a new project from three tables."""

from pathlib import Path
from typing import Annotated

import typer

from longtail.cli.options import JsonOption
from longtail.cli.output import output
from longtail.cli.tables import init_tables

_FORM = "Parquet or CSV, a file or a folder."


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the project.")],
    items: Annotated[Path, typer.Option("--items", help=f"The items: {_FORM}")],
    interactions: Annotated[
        Path, typer.Option("--interactions", help=f"Which query chose which item: {_FORM}")
    ],
    queries: Annotated[
        Path | None,
        typer.Option(
            "--queries",
            help=f"The queries: {_FORM} Default: the ids in the interactions.",
            show_default=False,
        ),
    ] = None,
    item_key: Annotated[
        str | None,
        typer.Option(
            "--item-key",
            metavar="COLUMN[=COLUMN]",
            help="Column of item ids; after `=`, its name in the interactions. Default: inferred.",
            show_default=False,
        ),
    ] = None,
    query_key: Annotated[
        str | None,
        typer.Option(
            "--query-key",
            metavar="COLUMN[=COLUMN]",
            help="Column of query ids, in the same form. Default: inferred.",
            show_default=False,
        ),
    ] = None,
    timestamp: Annotated[
        str | None,
        typer.Option(
            "--timestamp",
            metavar="COLUMN",
            help="Time when a row became true, in tables with this column. Default: inferred.",
            show_default=False,
        ),
    ] = None,
    weight: Annotated[
        str | None,
        typer.Option(
            "--weight",
            metavar="COLUMN",
            help="Column with an interaction's weight. Default: `weight`, if there is one.",
            show_default=False,
        ),
    ] = None,
    shared_ids: Annotated[
        bool | None,
        typer.Option(
            "--shared-ids/--separate-ids",
            help="Whether an item and a query with the same id are one thing. Default: inferred.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the repository and configuration in DIR.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a project from your own tables: a Feast repository and a configuration, ready to run."""
    from longtail.init.project import init_project
    from longtail.init.project_plan import Request

    with output(as_json) as out:
        request = Request(
            items=items,
            interactions=interactions,
            queries=queries,
            item_key=item_key,
            query_key=query_key,
            timestamp=timestamp,
            weight=weight,
            shared_ids=shared_ids,
        )
        out.progress.print("Reading the tables")
        document = init_project(folder, request, force=force)
        out.result(document, *init_tables.summary(document, folder))
