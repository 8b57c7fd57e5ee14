"""The Feast repository's settings, the places of its stores, and the objects that it defines."""

import importlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from feast import Entity, FeatureService, FeatureStore, FeatureView, Project
from feast.data_source import DataSource
from feast.errors import FeastError
from feast.feature_view import DUMMY_ENTITY
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.permissions.permission import Permission
from feast.repo_config import RepoConfig
from feast.repo_contents import RepoContents
from feast.repo_operations import get_repo_files
from feast.utils import get_default_yaml_file_path
from pydantic import ValidationError

from longtail.config import Config
from longtail.errors import InputError
from longtail.features.feast.store_settings import (
    KEYS,
    StoreName,
    import_error,
    missing_package,
    redacted,
    require_registry_driver,
)

SQLITE_URL = "sqlite:///"
# `${NAME}`, as Feast expands it. One that only a comment mentions need not be set.
_VARIABLE = re.compile(r"^[^#\n]*?\$\{(\w+)\}", re.MULTILINE)

_import_lock = threading.Lock()


def open_store(config: Config) -> FeatureStore:
    """Open the project's Feast store.

    Embedded stores (a SQLite registry, a SQLite online store) are in `<home>/feast`, whatever
    folder `feature_store.yaml` names. Every other store is left as it is configured.

    Raises:
        InputError: `feature_store.yaml` is missing or wrong, or names a variable that is not set.
    """
    file = _settings_file(config)
    if not file.is_file():
        raise InputError(f"{file} does not exist: `feature_repo` must name a Feast repository")
    text = os.path.expandvars(file.read_text(encoding="utf-8"))
    if unset := sorted(set(_VARIABLE.findall(text))):
        raise InputError(
            f"{file} needs {', '.join(unset)} in the environment: set it, and try again"
        )
    settings: Any = _parsed(text, file)
    _embed(settings, config.home / "feast")
    _ping_before_use(settings)
    try:
        feast = RepoConfig(repo_path=config.feature_repo, **settings)
        # Feast reads this part when it is first used: an error in it is one of this file, too.
        require_registry_driver(feast, file)
        return FeatureStore(config=feast)
    except (FeastError, ValueError, TypeError) as error:
        if import_error(error) is not None:
            raise missing_package(error, _unloaded(error, settings), file) from error
        said = redacted(_reason(error), settings)
        # Its cause shows the settings, and may show a password.
        raise InputError(f"{file} is not a valid Feast configuration: {said}") from None


def _unloaded(error: Exception, settings: dict[str, Any]) -> str:
    """Return the store that Feast could not load, in words."""
    names: tuple[StoreName, ...] = ("online store", "offline store")
    for name in names:
        # Feast names the module of the store that it tried to import.
        if f"feast.infra.{name.replace(' ', '_')}s" in str(error):
            found = settings.get(KEYS[name])
            return f"the {name} ({found.get('type') if isinstance(found, dict) else found})"
    return "a store"


def _parsed(text: str, file: Path) -> dict[str, Any]:
    """Return Feast's settings."""
    try:
        settings: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        # Its text shows the line, which may have a password.
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise InputError(
            f"{file} is not a valid Feast configuration: it is no YAML{where}: "
            f"{problem or 'correct it'}"
        ) from None
    if not isinstance(settings, dict):
        raise InputError(f"{file} must be a mapping of Feast's settings, such as `project: NAME`")
    return settings


def _reason(error: Exception) -> str:
    """Return what is wrong with settings; pydantic's own text shows them, passwords included."""
    if not isinstance(error, ValidationError):
        return str(error)
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"`{'.'.join(map(str, each['loc']))}`: {each['msg']}" if each["loc"] else each["msg"]
        for each in wrong
    )


def _settings_file(config: Config) -> Path:
    if config.feature_store is not None and "FEAST_FS_YAML_FILE_PATH" not in os.environ:
        return config.feature_store
    return Path(get_default_yaml_file_path(config.feature_repo))


def _embed(settings: dict[str, Any], folder: Path) -> None:
    """Move the embedded stores of Feast's settings into `folder`, and make that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    registry, online = settings.get("registry"), settings.get("online_store")
    if isinstance(registry, dict) and str(registry.get("path")).startswith(SQLITE_URL):
        registry["path"] = SQLITE_URL + str(folder / Path(registry["path"]).name)
    if isinstance(online, dict) and online.get("type") == "sqlite":
        online["path"] = str(folder / Path(online.get("path", "online_store.db")).name)


def _ping_before_use(settings: dict[str, Any]) -> None:
    """Let a registry in a database test an idle connection before it is used.

    The server may have closed it meanwhile, at a restart for instance.
    """
    registry = settings.get("registry")
    if not isinstance(registry, dict) or registry.get("registry_type") != "sql":
        return
    if not str(registry.get("path")).startswith("sqlite"):
        given = registry.get("sqlalchemy_config_kwargs") or {}
        registry["sqlalchemy_config_kwargs"] = {"echo": False, "pool_pre_ping": True, **given}


def redis_nodes(connection_string: str) -> list[tuple[str, int]]:
    """Return the host and port of every node that a Redis online store's settings name."""
    nodes, _ = RedisOnlineStore._parse_connection_string(connection_string)
    return [(str(node["host"]), int(node.get("port", 6379))) for node in nodes]


def load_definitions(config: Config) -> RepoContents:
    """Import the repository's Python files and collect the Feast objects in them.

    This is what `feast apply` does, but the working directory stays, and no modules are left
    behind: one process can read several repositories, or one twice. While the files run,
    `LONGTAIL_HOME` is the configuration's home, because the definition of the published slot reads
    the pointer there.

    Raises:
        InputError: a file cannot be imported.
    """
    contents = RepoContents([], [], [], [], [], [], [], [], [])
    with _import_lock, _importable(config):
        for file in get_repo_files(config.feature_repo):
            name = ".".join(file.relative_to(config.feature_repo).with_suffix("").parts)
            try:
                module = importlib.import_module(name)
            except Exception as error:
                raise InputError(
                    f"{file} cannot be imported: {type(error).__name__}: {error}"
                ) from error
            for attribute in vars(module).values():
                _collect(attribute, contents)
    contents.entities.append(DUMMY_ENTITY)
    return contents


def _collect(candidate: Any, contents: RepoContents) -> None:
    """Add a module attribute to the contents, if it is a Feast object that is not there yet."""
    kinds: list[tuple[type, list[Any]]] = [
        (Project, contents.projects),
        (DataSource, contents.data_sources),
        (Entity, contents.entities),
        (FeatureView, contents.feature_views),
        (OnDemandFeatureView, contents.on_demand_feature_views),
        (FeatureService, contents.feature_services),
        (Permission, contents.permissions),
    ]
    for kind, found in kinds:
        if isinstance(candidate, kind) and not any(candidate is other for other in found):
            found.append(candidate)
    if isinstance(candidate, FeatureView) and candidate.batch_source is not None:
        _collect(candidate.batch_source, contents)


@contextmanager
def _importable(config: Config) -> Iterator[None]:
    """Let the repository's files import each other by their plain names inside the block."""
    root = config.feature_repo
    own = {file.relative_to(root).with_suffix("").parts[0] for file in get_repo_files(root)}
    # Other loaded modules with such a name are put aside, and come back at the end.
    hidden = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in own
    }
    home, bytecode = os.environ.get("LONGTAIL_HOME"), sys.dont_write_bytecode
    sys.path.insert(0, str(root))
    # Python dates bytecode to the second, and would run a stale file after two edits in one second.
    sys.dont_write_bytecode = True
    os.environ["LONGTAIL_HOME"] = str(config.home)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(root))
        sys.dont_write_bytecode = bytecode
        if home is None:
            del os.environ["LONGTAIL_HOME"]
        else:
            os.environ["LONGTAIL_HOME"] = home
        for name in [name for name in sys.modules if name.split(".")[0] in own]:
            del sys.modules[name]
        sys.modules.update(hidden)
