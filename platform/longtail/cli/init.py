"""`init`: makes a new project from three tables."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longtail.cli.options import JsonOption
from longtail.cli.output import output
from longtail.cli.tables import init_tables
from longtail.config import local_path
from longtail.init.keys.id_rules import ID_RULES

if TYPE_CHECKING:
    from longtail.init.project_plan import Request

_FORM = "Parquet or CSV, a file or a folder."


def _id_rule(text: str) -> str:
    if text not in ID_RULES:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(ID_RULES)}")
    return text


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
    time_column: Annotated[
        str | None,
        typer.Option(
            "--time-column",
            "--timestamp",
            metavar="COLUMN",
            help="Time when a row became true, in tables with this column. Default: inferred.",
            show_default=False,
        ),
    ] = None,
    time_format: Annotated[
        list[str] | None,
        typer.Option(
            "--time-format",
            metavar="FORMAT",
            help="Form of the times: as in %d/%m/%Y %H:%M, or seconds, milliseconds, microseconds, "
            "nanoseconds; may be given several times. Default: inferred.",
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
    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--ids",
            metavar="|".join(ID_RULES),
            parser=_id_rule,
            help="Make the ids of the tables alike; may be given several times.",
            show_default=False,
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore",
            metavar="[TABLE.]COLUMN",
            help="Act as if this column were not there; may be given several times.",
            show_default=False,
        ),
    ] = None,
    comment: Annotated[
        str | None,
        typer.Option(
            "--comment",
            metavar="TEXT",
            help="Skip the lines of CSV files that begin with this, such as #.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the repository and configuration in DIR.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print what would be made, and write nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Never ask: an open question is an error.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a project from your own tables: a Feast repository and a configuration, ready to run.

    On a terminal it asks where the tables leave a question open.
    """
    from longtail.init.project import explain_project, init_project
    from longtail.init.project_plan import Request

    with output(as_json) as out:
        folder = local_path(folder, "DIR")
        request = Request(
            items=local_path(items, "--items"),
            interactions=local_path(interactions, "--interactions"),
            queries=None if queries is None else local_path(queries, "--queries"),
            item_key=item_key,
            query_key=query_key,
            time_column=time_column,
            time_format=tuple(time_format or ()),
            weight=weight,
            shared_ids=shared_ids,
            comment=comment,
            ids=tuple(ids or ()),
            ignore=tuple(ignore or ()),
        )
        may_ask = not yes and not as_json and sys.stdin.isatty() and sys.stderr.isatty()

        def confirm(document: Mapping[str, Any]) -> None:
            """Ask whether to write, if something was guessed that one should look at."""
            if not may_ask or not document["doubts"]:
                return
            for table in init_tables.understood(document):
                out.progress.print(table)
            typer.confirm(f"Write the project to {folder}?", default=True, abort=True, err=True)

        def make(request: Request) -> Mapping[str, Any]:
            out.progress.print("Reading the tables")
            if explain:
                return explain_project(folder, request)
            return init_project(folder, request, force=force, confirm=confirm)

        document = _make_or_ask(make, request) if may_ask else make(request)
        tables = init_tables.understood(document)
        next_step = () if explain else init_tables.next_step(folder)
        out.result(document, *tables, *next_step)


def _make_or_ask(
    make: Callable[["Request"], Mapping[str, Any]], request: "Request"
) -> Mapping[str, Any]:
    """Make the project, and put each open question to the user, who answers by a number."""
    from longtail.init.project_plan import answered
    from longtail.init.questions import OpenQuestion

    while True:
        try:
            return make(request)
        except OpenQuestion as question:
            typer.echo(f"\n{question.question[0].upper()}{question.question[1:]}?", err=True)
            for number, choice in enumerate(question.choices, start=1):
                typer.echo(f"  {number}  {choice.answer}  ({choice.reason})", err=True)
            number = 0
            while not 1 <= number <= len(question.choices):
                number = typer.prompt(f"Number, 1 to {len(question.choices)}", type=int, err=True)
            request = answered(request, question.field, question.choices[number - 1].answer)
