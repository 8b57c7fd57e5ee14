"""Makes a project: writes all of it in a temporary folder, then moves it to its place.

A failure at any step leaves nothing behind.
"""

import json
import shutil
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from longtail.errors import InputError
from longtail.init.infer import infer_project
from longtail.init.project_files.configuration_text import render_configuration
from longtail.init.project_files.feast_repository import write_repository
from longtail.init.project_files.normalised_tables import write_tables
from longtail.init.project_plan import Request
from longtail.init.roles_file import ROLES, roles_document
from longtail.init.summary import summarise

REPOSITORY, CONFIGURATION, IGNORED = "feature_repo", "longtail.yaml", ".gitignore"
_MEMORY = "4GB"
_GITIGNORE = """\
# files that runs produce
.longtail/
# the tables: data, not source
feature_repo/data/
__pycache__/
"""


Confirm = Callable[[dict[str, Any]], None]


def init_project(
    folder: Path, request: Request, *, force: bool = False, confirm: Confirm | None = None
) -> dict[str, Any]:
    """Make `folder/feature_repo`, `folder/longtail.yaml` and `folder/.gitignore`.

    The user's tables are only read. Files that runs produced in `folder` stay.

    Args:
        folder: a new folder, or one without a repository and a configuration.
        force: replace the repository and the configuration.
        confirm: called with the document before anything is written; what it raises ends the
            command.

    Returns:
        the document of `summary.summarise`.

    Raises:
        OpenQuestion: the tables fit several readings equally. Nothing is written.
        InputError: files would be overwritten, or the tables cannot be used. Nothing is written.
    """
    folder = folder.resolve()
    _check_target(folder, request, force=force)
    # The nearest existing folder is on the file system of `folder`, so the move is a rename.
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    staging = existing / f".longtail-init-{uuid.uuid4().hex[:8]}"
    try:
        staging.mkdir()
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error}; name another folder, or correct its permissions"
        ) from error
    try:
        document = _write(staging, folder, request, confirm)
        _move(staging / "project", folder, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return document


def _check_target(folder: Path, request: Request, *, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder for the project")
    taken = [name for name in (REPOSITORY, CONFIGURATION) if (folder / name).exists()]
    if taken and not force:
        raise InputError(
            f"{folder} has a {' and a '.join(taken)} already: name another folder, or replace them "
            "with --force (files that runs produced stay)"
        )
    for path in (request.items, request.queries, request.interactions):
        if path is not None and path.resolve().is_relative_to(folder / REPOSITORY):
            raise InputError(
                f"{path} is in a folder that --force replaces: move it out of {folder / REPOSITORY}"
            )


def explain_project(folder: Path, request: Request) -> dict[str, Any]:
    """Return the document of `init_project`, and write nothing.

    Args:
        folder: the folder that the project would have.

    Raises:
        OpenQuestion: the tables fit several readings equally.
        InputError: the tables cannot be used.
    """
    with tempfile.TemporaryDirectory() as scratch, _connect(Path(scratch)) as connection:
        plan, _ = infer_project(connection, request, folder.name, Path(scratch))
        return summarise(plan, folder.resolve())


def _connect(scratch: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection that spills large tables to disk, and reads times in UTC."""
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '{_MEMORY}'")
    connection.execute(f"SET temp_directory = '{scratch / 'spilled'}'")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _write(
    staging: Path, folder: Path, request: Request, confirm: Confirm | None
) -> dict[str, Any]:
    scratch, repository = staging / "scratch", staging / "project" / REPOSITORY
    scratch.mkdir()
    (repository / "data").mkdir(parents=True)
    with _connect(scratch) as connection:
        plan, tables = infer_project(connection, request, folder.name, scratch)
        document = summarise(plan, folder)
        if confirm is not None:
            confirm(document)
        write_tables(connection, plan, tables, repository / "data")
    write_repository(plan, repository, folder / ".longtail" / "feast")
    roles = json.dumps(roles_document(plan), indent=1, ensure_ascii=False)
    (repository / ROLES).write_text(roles + "\n", encoding="utf-8")
    (staging / "project" / CONFIGURATION).write_text(render_configuration(plan), encoding="utf-8")
    (staging / "project" / IGNORED).write_text(_GITIGNORE, encoding="utf-8")
    return document


def _move(project: Path, folder: Path, staging: Path) -> None:
    """Move the finished project to its place.

    The configuration comes last, because `longtail` takes a folder with one for a project.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        project.rename(folder)
        return
    # The old files go to the staging folder, which is deleted in the end.
    outgoing = staging / "outgoing"
    outgoing.mkdir()
    if not (folder / IGNORED).exists():
        (project / IGNORED).rename(folder / IGNORED)
    for name in (REPOSITORY, CONFIGURATION):
        if (folder / name).exists():
            (folder / name).rename(outgoing / name)
        (project / name).rename(folder / name)
