"""The settings of Feast's stores as messages show them: kind and address, never a password."""

import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import unquote

from feast.repo_config import RepoConfig
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from longtail.errors import InputError

StoreName = Literal["registry", "online store", "offline store"]

KEYS: dict[StoreName, str] = {
    "registry": "registry",
    "online store": "online_store",
    "offline store": "offline_store",
}
"""The key of each store in `feature_store.yaml`."""

HIDDEN = "***"
_SECRET_KEY = re.compile(r"pass|pwd|secret|token|credential|api_key|access_key|private_key", re.I)
_SECRET_PART = re.compile(r"(?:pass\w*|pwd|secret\w*|\w*token|\w*key)=([^,;&\s]+)", re.I)
_USER_INFO = re.compile(r"://([^/?#\s@:]*):([^\s@]*)@")
_PLACES = (
    *("host", "hosts", "connection_string", "path", "url", "uri", "endpoint_url", "endpoint"),
    *("bootstrap_servers", "cluster_members", "account", "region", "project_id", "instance"),
)
"""Settings that say where a store is, in the order in which they are looked for."""
_DATABASES = ("database", "db_name", "database_name", "keyspace", "catalog", "dataset")

_PACKAGES = {
    **dict.fromkeys(("psycopg", "psycopg_pool"), "feast[postgres]"),
    **dict.fromkeys(("boto3", "botocore", "aiobotocore"), "feast[aws]"),
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "feast[mysql]",
    "google": "feast[gcp]",
    "azure": "feast[azure]",
    "pymongo": "feast[mongodb]",
    "pymilvus": "feast[milvus]",
    "qdrant_client": "feast[qdrant]",
    "happybase": "feast[hbase]",
    "pyodbc": "feast[mssql]",
    "oracledb": "feast[oracle]",
    "pyspark": "feast[spark]",
    "grpc": "feast[grpcio]",
}
"""The requirement that brings a module, where Feast has no extra of the module's name."""


def kind(config: RepoConfig, store: StoreName) -> str:
    """Return the kind of a store, such as `postgres`; for a registry in a database, the driver."""
    settings = _settings(config, store)
    if store == "registry":
        driver = str(settings.get("path", "")).partition("://")[0]
        return driver if settings.get("registry_type") == "sql" else str(settings["registry_type"])
    return str(settings.get("type", type(getattr(config, KEYS[store])).__name__))


def described(config: RepoConfig, store: StoreName) -> str:
    """Return the name and the kind of a store, in words."""
    return f"the {store} ({kind(config, store)})"


def place(config: RepoConfig, store: StoreName) -> str:
    """Return kind and address of a store, without user and password."""
    settings = _settings(config, store)
    where = next((settings[key] for key in _PLACES if settings.get(key)), None)
    if where is None:
        return kind(config, store)
    address = ",".join(map(str, where)) if isinstance(where, list | tuple) else str(where)
    if "://" in address:
        scheme, _, rest = address.partition("://")
        # Options after `?` may hold a password, too.
        rest = rest.rpartition("@")[2].partition("?")[0]
        # A registry's kind is the scheme of its URL; a path has three slashes.
        address = rest.removeprefix("/") if scheme == kind(config, store) else f"{scheme}://{rest}"
    elif "=" in address:
        # Redis: `host:port,db=0,password=...`
        address = ",".join(part for part in address.split(",") if "=" not in part)
    if settings.get("port") and "://" not in address:
        address += f":{settings['port']}"
    database = next((settings[key] for key in _DATABASES if settings.get(key)), None)
    return f"{kind(config, store)} at {address}" + (f"/{database}" if database else "")


def redacted(text: str, *settings: Any) -> str:
    """Return a text without the passwords that Feast's settings hold.

    Args:
        text: a message of Feast, of a driver or of a store.
        settings: the settings of stores: mappings, or a URL.
    """
    secrets = {secret for each in settings for secret in _secrets(each)}
    # The name of a database or a user is no secret, even where the password is the same word.
    secrets -= {str(value) for each in settings for value in _public(each)}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _USER_INFO.sub(rf"://\1:{HIDDEN}@", text)


def redacted_answer(text: str, config: RepoConfig) -> str:
    """Return the first line of a store's answer, without the passwords of the settings."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return redacted(first, config.registry_config, config.online_config, config.offline_config)


def require_registry_driver(config: RepoConfig, file: Any) -> None:
    """Refuse a registry in a database that has no valid URL, or needs a driver that is missing.

    Raises:
        InputError: says which package to install, or what is wrong with the URL.
    """
    if config.registry.registry_type != "sql":
        return
    for key in ("path", "read_path"):
        url = getattr(config.registry, key)
        if url is None:
            continue
        try:
            make_url(url).get_dialect().import_dbapi()
        except ImportError as error:
            raise missing_package(error, described(config, "registry"), file) from error
        except (ArgumentError, ValueError) as error:
            # SQLAlchemy's words for a port that is none contain a part of the URL.
            said = redacted_answer(str(error), config) if isinstance(error, ArgumentError) else ""
            raise InputError(
                f"`registry.{key}` in {file} is not the URL of a database{said and f' ({said})'}: "
                "write DIALECT+DRIVER://USER:PASSWORD@HOST:PORT/DATABASE, and percent-encode "
                "other signs than letters and digits in the password"
            ) from None


def missing_package(error: BaseException, what: str, file: Any) -> InputError:
    """Return the error for a store that needs a package which is not installed.

    Args:
        error: the ImportError, or an exception that it caused.
        what: the store, in words.
        file: the file that names the store.
    """
    cause = import_error(error)
    module = str(cause.name or "").split(".")[0] if cause is not None else ""
    if not module:
        return InputError(
            f"{what} in {file} cannot be loaded ({cause}): install what it needs, or name another "
            "store"
        )
    return InputError(
        f"{what} in {file} needs the Python package `{module}`, which is not installed: "
        f"pip install '{_requirement(module)}', or name another store"
    )


def import_error(error: BaseException | None) -> ImportError | None:
    """Return the first ImportError among an exception and those that caused it."""
    found: ImportError | None = None
    while error is not None:
        if isinstance(error, ImportError) and (found is None or found.name is None):
            found = error
        error = error.__cause__ or error.__context__
    return found


def _requirement(module: str) -> str:
    extras = importlib.metadata.metadata("feast").get_all("Provides-Extra") or []
    wanted = _PACKAGES.get(module, f"feast[{module}]" if module in extras else module)
    # Feast is pinned: without its version pip could replace it by a later one.
    version = importlib.metadata.version("feast")
    return f"{wanted}=={version}" if wanted.startswith("feast[") else wanted


def _settings(config: RepoConfig, store: StoreName) -> dict[str, Any]:
    return dict(vars(getattr(config, KEYS[store])))


def _entries(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the key and the value of each text in settings, at any depth."""
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            yield from _entries(value, str(name))
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _entries(value, key)
    elif isinstance(settings, str | int) and not isinstance(settings, bool):
        yield key, str(settings)


def _secrets(settings: Any) -> Iterator[str]:
    for key, value in _entries(settings):
        found = [value] if _SECRET_KEY.search(key) else []
        found += _SECRET_PART.findall(value)
        found += [password for _, password in _USER_INFO.findall(value)]
        for secret in filter(None, found):
            yield from {secret, unquote(secret)}


def _public(settings: Any) -> Iterator[str]:
    for key, value in _entries(settings):
        if not _SECRET_KEY.search(key):
            yield value
            yield from (user for user, _ in _USER_INFO.findall(value))
