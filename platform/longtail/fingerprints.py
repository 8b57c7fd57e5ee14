"""Fingerprints of stages: hashes of their inputs, of files, and of the code that they run."""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from longtail.artifacts import STAMP, read_json
from longtail.errors import LongtailError

# What a stage imports and what cannot change its result. Each name covers what is below it.
_WITHOUT_EFFECT = (
    # The configured values that decide a result are in the fingerprints themselves, and so are
    # those that are derived from them.
    "longtail.config",
    # Where files stand, how they are written and named, and what errors are called.
    "longtail.artifacts",
    "longtail.fingerprints",
    "longtail.errors",
    # Words and pictures for people.
    "longtail.features.finding",
    "longtail.correlation.heat_map",
    "longtail.correlation.display_text",
    "longtail.evaluation.recall_plot",
    # The types of results.
    "longtail.embeddings.results",
    "longtail.evaluation.results",
    # How a run is watched, timed, reported, stopped and ended.
    "longtail.training.reports",
    "longtail.training.step_clock",
    "longtail.training.step_profile",
    "longtail.training.interruption",
    "longtail.training.launch.run_outcome",
    "longtail.training.launch.torchrun_agent",
)


def fingerprint(*parts: Any) -> str:
    """Return a hash of JSON-able parts, which identifies what a stage was made from."""
    canonical = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def source_hash(*modules: str) -> str:
    """Return a hash of the code that some modules run: changed code is never taken for done.

    It covers the modules, and whatever of `longtail` they import, directly or not. Comments,
    docstrings and layout do not count. What `_WITHOUT_EFFECT` names is left out.

    Args:
        modules: dotted names, such as `longtail.correlation.mine`.
    """
    digest = hashlib.sha256()
    for module in sorted(imported_modules(*modules)):
        digest.update(module.encode())
        digest.update(_read_module(module).digest)
    return digest.hexdigest()


def imported_modules(*modules: str) -> frozenset[str]:
    """Return the modules of `longtail` that `source_hash` covers.

    Args:
        modules: where to begin; they are part of the result.
    """
    found: set[str] = set()
    ahead = list(modules)
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            ahead += _read_module(module).imports
    return frozenset(found)


def is_module(name: str) -> bool:
    """Return whether a dotted name is a module of `longtail`."""
    return _source_file(name) is not None


class _Module(NamedTuple):
    """The code of one module, as far as it can change a result."""

    digest: bytes
    imports: tuple[str, ...]


@cache
def _read_module(module: str) -> _Module:
    """Read a module once in the life of a process: what is hashed is what has been loaded."""
    source = _source_file(module)
    if source is None:
        raise ValueError(f"{module} is not a module of longtail")
    tree = ast.parse(source.read_bytes())
    imports = {name for node in ast.walk(tree) for name in _imported_names(node)}
    # Importing `longtail.a.b` runs `longtail/a/__init__.py` as well.
    parts = module.split(".")
    imports |= {".".join(parts[:number]) for number in range(2, len(parts))}
    imports.discard(module)
    kept = sorted(name for name in imports if not _is_without_effect(name))
    return _Module(hashlib.sha256(_code_of(tree).encode()).digest(), tuple(kept))


def _imported_names(node: ast.AST) -> Iterator[str]:
    """Yield the modules of `longtail` that a statement imports, those inside functions as well."""
    if isinstance(node, ast.Import):
        candidates = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        # Of `from longtail.a import b`, `b` may be a module or a name of `a`.
        inner = [f"{node.module}.{alias.name}" for alias in node.names]
        candidates = [name for name in inner if _source_file(name)] or [node.module]
    else:
        return
    for name in candidates:
        if name.startswith("longtail.") and _source_file(name) is not None:
            yield name


def _source_file(module: str) -> Path | None:
    """Return the file of a module of `longtail`; None for any other name."""
    first, *rest = module.split(".")
    if first != "longtail":
        return None
    place = Path(__file__).parent.joinpath(*rest)
    files = (place / "__init__.py", place.with_suffix(".py") if rest else place)
    return next((file for file in files if file.is_file()), None)


def _is_without_effect(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in _WITHOUT_EFFECT)


def _code_of(tree: ast.Module) -> str:
    """Return the code of a module as text, without comments, docstrings and layout."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for one in body if not _is_text(one)]  # type: ignore[attr-defined]
    return _written(tree)


def _written(node: object) -> str:
    """Return a syntax tree as text that is the same in every release of Python.

    `ast.dump` is not: later releases have fields that earlier ones lack. Fields without a value are
    left out here.
    """
    if isinstance(node, list):
        return f"[{','.join(map(_written, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, getattr(node, name, None)) for name in sorted(node._fields))
    present = (f"{name}={_written(value)}" for name, value in fields if value not in (None, []))
    return f"{type(node).__name__}({','.join(present)})"


def _is_text(node: ast.AST) -> bool:
    """Return whether a statement is a docstring: of a module, class, function or attribute."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def read_stamp(folder: Path) -> dict[str, Any] | None:
    """Return the stamp of a stage; None if the stage has not finished."""
    return read_json(folder / STAMP) if (folder / STAMP).is_file() else None


def is_current(folder: Path, stage_fingerprint: str) -> bool:
    """Return whether a stage has finished, and was made from exactly these inputs."""
    stamp = read_stamp(folder)
    return stamp is not None and stamp.get("fingerprint") == stage_fingerprint


def required_stamp(folder: Path, *, made_by: str) -> dict[str, Any]:
    """Return the stamp of a stage that must have finished.

    Raises:
        LongtailError: it has not finished; the message names the command that runs it.
    """
    stamp = read_stamp(folder)
    if stamp is None:
        raise LongtailError(f"{folder} is not finished: run `longtail {made_by}` first")
    return stamp
