"""Failures of Feast's stores, of any kind, as one error: which store, what it said, what to do.

Every call that reaches a registry, an online store or an offline store is inside `store_failures`.
Feast has some forty stores, and a project can bring its own. So no list of drivers decides what a
failure of a store is, and no driver is imported. It is an exception that came through the code of
a store, and that the network raised, or whose class neither Python, nor Feast, nor a library of
data frames defines. Kinds of programming errors are none.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from feast.repo_config import RepoConfig

from longtail.errors import LongtailError
from longtail.features.feast.store_settings import (
    KEYS,
    StoreName,
    described,
    import_error,
    kind,
    missing_package,
    place,
    redacted_answer,
)

SETTINGS_FILE = "feature_store.yaml"

# A mistake in a program, ours or a library's: it keeps its traceback.
_MISTAKES = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, LookupError, MemoryError),
    *(NameError, NotImplementedError, RecursionError, SyntaxError, TypeError, ValueError),
)
_NO_STORES = frozenset(
    {"longtail", "assets", "pyarrow", "pandas", "numpy", "pydantic", "pydantic_core"}
)
_FEAST_FAILURES = frozenset(
    {
        *("S3RegistryBucketNotExist", "S3RegistryBucketForbiddenAccess", "FeastProviderLoginError"),
        *("SnowflakeCredentialsError", "SnowflakeQueryError", "SnowflakeIncompleteConfig"),
        *("SnowflakeQueryUnknownError", "RedshiftCredentialsError", "RedshiftQueryError"),
        *("BigQueryJobStillRunning", "BigQueryJobCancelled", "FeastPermissionError"),
    }
)
"""Feast's own words for the failure of a store; its other errors are about definitions."""

_MODULES: dict[str, StoreName] = {
    "feast.infra.registry": "registry",
    "feast.infra.online_stores": "online store",
    "feast.infra.offline_stores": "offline store",
    "longtail.features.feast.slot_storage": "online store",
}
_FILES = ("sqlite", "duckdb", "dask", "file")
"""Kinds of stores that are files, not servers."""


class StoreError(LongtailError):
    """A store that cannot be reached, or refuses; exit code 1.

    Attributes:
        store: which of Feast's stores.
        what: what happened; no full stop.
        cure: what to do about it; no full stop.
    """

    def __init__(self, store: StoreName, what: str, cure: str) -> None:
        super().__init__(f"{what}: {cure}")
        self.store, self.what, self.cure = store, what, cure


@contextmanager
def store_failures(config: RepoConfig, store: StoreName) -> Iterator[None]:
    """Turn the failure of a store, of whatever kind, into one error.

    Args:
        config: Feast's settings.
        store: the store that the block reaches. If Feast's own code shows that another one
            failed, that one is named.

    Raises:
        StoreError: the store cannot be reached, or refuses.
        InputError: the store needs a package that is not installed.
    """
    try:
        yield
    except Exception as error:
        failed = _failed_store(error.__traceback__, config, store)
        if _is_missing_package(error):
            what = described(config, failed or store)
            raise missing_package(error, what, SETTINGS_FILE) from error
        if failed is None or not is_store_failure(error):
            raise
        answer = _answer(error, config)
        raise StoreError(
            failed,
            f"the {failed} failed ({place(config, failed)}: {answer})",
            _cure(config, failed, answer),
        ) from error


def is_store_failure(error: BaseException) -> bool:
    """Return whether an exception says that a store cannot be reached, or refuses."""
    if isinstance(error, OSError | EOFError):
        return True
    if isinstance(error, (*_MISTAKES, ImportError, LongtailError)):
        return False
    module = type(error).__module__
    root = module.split(".")[0]
    if root == "feast":
        return module.startswith("feast.infra.") or type(error).__name__ in _FEAST_FAILURES
    if type(error) in (Exception, RuntimeError):
        # Feast's remote stores say so with the plainest of errors.
        return any(name.startswith("feast.infra.") for name in _modules(error.__traceback__)[-1:])
    if root in sys.stdlib_module_names:
        return root in ("sqlite3", "http")
    return root not in _NO_STORES


def _is_missing_package(error: BaseException) -> bool:
    names = ("FeastModuleImportError", "FeastExtrasDependencyImportError")
    if not isinstance(error, ImportError) and type(error).__name__ not in names:
        return False
    cause = import_error(error)
    # Modules of our own that are missing are a mistake of ours.
    return cause is not None and str(cause.name or "").split(".")[0] not in ("longtail", "assets")


def _modules(traceback: TracebackType | None) -> list[str]:
    """Return the modules that an exception came through, the one that raised it last."""
    modules = []
    while traceback is not None:
        modules.append(str(traceback.tb_frame.f_globals.get("__name__", "")))
        traceback = traceback.tb_next
    return modules


def _failed_store(
    traceback: TracebackType | None, config: RepoConfig, default: StoreName
) -> StoreName | None:
    """Return the store whose code an exception came through last.

    Returns:
        the store; `default` if Feast's code does not tell; None if the exception came through no
        code of a store, as those of wrong definitions do.
    """
    places = dict(_MODULES)
    own: tuple[StoreName, ...] = ("online store", "offline store")
    for store in own:
        # The kind of a project's own store is the path of its class.
        module, _, name = kind(config, store).rpartition(".")
        if module and name.endswith("Store"):
            places[module] = store
    modules = _modules(traceback)
    for module in reversed(modules):
        for start, store in places.items():
            if module == start or module.startswith(f"{start}."):
                return store
    return default if any(module.startswith("feast.infra.") for module in modules) else None


def _answer(error: BaseException, config: RepoConfig) -> str:
    """Return the class and the first line of what a store, or its driver, said."""
    # SQLAlchemy wraps the driver's error, and adds a statement and a link.
    said = getattr(error, "orig", None) or error
    return f"{type(said).__name__}: {redacted_answer(str(said), config)}"


def _cure(config: RepoConfig, store: StoreName, answer: str) -> str:
    key, what = KEYS[store], kind(config, store)
    if what.split("+")[0] in _FILES:
        return (
            f"check that its files are whole and that no other program holds them, or correct "
            f"`{key}` in {SETTINGS_FILE}; then try again"
        )
    if what.startswith("postgres") and re.search(r"\bSSL\b|no encryption|certificate", answer):
        if store == "registry":
            return (
                f"end `registry.path` in {SETTINGS_FILE} with `?sslmode=disable` if the server has "
                "no SSL, else with the `sslmode` and the certificates that it wants; then try again"
            )
        return (
            f"set `sslmode: disable` under `{key}` in {SETTINGS_FILE} if the server has no SSL "
            "(without a setting Feast takes `require`), else the `sslmode` and the certificates "
            "that it wants; then try again"
        )
    return (
        f"check that it runs, and that `{key}` in {SETTINGS_FILE} has its address, user and "
        "password; then try again"
    )
