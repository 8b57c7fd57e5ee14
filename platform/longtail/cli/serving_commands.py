"""The commands about what is served: status, versions, rollback, lookup, and others."""

from typing import Annotated

import typer
from rich.console import RenderableType

from longtail.cli.options import ConfigOption, CountOption, JsonOption
from longtail.cli.output import output
from longtail.cli.tables import result_tables as tables
from longtail.cli.tell_dagster import tell_dagster
from longtail.config import config_file, load_config
from longtail.errors import InputError

NoteOption = Annotated[str, typer.Option("--note", help="The reason, for the record.")]


def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show which version is served."""
    from longtail.embeddings.publish import status as read_status

    with output(as_json) as out:
        document = read_status(load_config(config))
        if document["version"] is None:
            out.result(document, "Nothing is published yet: run `longtail run`.")
        else:
            out.result(document, tables.facts(document))


def versions(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the versions on disk."""
    from longtail.embeddings.versions import list_versions

    with output(as_json) as out:
        document = {"versions": list_versions(load_config(config))}
        out.result(document, tables.versions(document))


def rollback(
    version: Annotated[
        str | None, typer.Argument(help="Default: the version that was served before.")
    ] = None,
    note: NoteOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve an earlier version again. No refresh serves the one that it replaces."""
    from longtail.embeddings.publish import rollback as roll_back

    with output(as_json) as out:
        project = load_config(config)
        document = roll_back(project, version, note=note)
        tell_dagster(project, config_file(config), out.progress)
        out.result(document, tables.facts(document))


def approve(
    version: Annotated[str, typer.Argument(help="The version that was rolled back.")],
    note: NoteOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version that was rolled back be published again."""
    from longtail.embeddings.refresh.withdrawn import approve as approve_again

    with output(as_json) as out:
        document = approve_again(load_config(config), version, note)
        line = f"The next `longtail run` of its day, or `longtail rollback {version}`, serves it."
        out.result(document, tables.facts(document), line)


def lookup(
    items: Annotated[list[str], typer.Argument(metavar="ITEM...")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look up the embeddings of items, as Feast serves them."""
    from longtail.serving.client import EmbeddingClient

    with output(as_json) as out:
        document = EmbeddingClient(load_config(config)).lookup(items)
        table = tables.grid("item", "embedding", title=f"Version {document['version']}")
        for item, vector in document["embeddings"].items():
            shown = "not in the catalogue"
            if vector is not None:
                start = ", ".join(f"{value:+.3f}" for value in vector[:6])
                shown = f"[{start}, ...] ({len(vector)} values)"
            table.add_row(item, shown)
        out.result(document, table)


def neighbours(
    item: Annotated[str, typer.Argument(metavar="ITEM")],
    k: CountOption = 10,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the items most like an item."""
    from longtail.serving.neighbours import Neighbours

    with output(as_json) as out:
        document = Neighbours(load_config(config)).of_item(item, k)
        out.result(document, tables.results(document, f"Most like {item}"))


def recommend(
    query: Annotated[str | None, typer.Argument(metavar="[QUERY]")] = None,
    history: Annotated[
        str | None,
        typer.Option(
            "--history",
            metavar="ITEM,...",
            help="In place of QUERY: a stranger's items, the newest first. They do not come back.",
        ),
    ] = None,
    k: CountOption = 10,
    new: Annotated[
        bool, typer.Option("--new", help="Leave out the items that the query chose before.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the items that fit a query best, or a stranger's session."""
    from longtail.serving.recommend import Recommender

    with output(as_json) as out:
        if (query is None) == (history is None):
            raise InputError(
                "name a QUERY, or give a stranger's items by --history ITEM,ITEM: one of the two"
            )
        recommender = Recommender(load_config(config))
        if query is not None:
            document = recommender.recommend(query, k, exclude_seen=new)
            out.result(document, tables.results(document, f"For {query}"))
            return
        items = [item.strip() for item in (history or "").split(",")]
        session = recommender.recommend_session([item for item in items if item], k)
        shown: list[RenderableType] = [tables.results(session, f"After {', '.join(items)}")]
        if session["unknown"]:
            unknown = ", ".join(session["unknown"])
            shown.append(f"Not known to version {session['version']}, and left out: {unknown}")
        out.result(session, *shown)
