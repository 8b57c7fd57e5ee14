"""What a stage was made from: hashes of inputs, of files, and of the code that it runs."""

import hashlib
import json
from pathlib import Path
from typing import Any

from longtail.artifacts import STAMP, read_json
from longtail.errors import LongtailError


def fingerprint(*parts: Any) -> str:
    """A hash of JSON-able parts: the identity of what a stage was made from."""
    canonical = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def source_hash(*packages: str) -> str:
    """A hash of the source of `longtail` packages, so that changed code is never taken for done."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for package in packages:
        for file in sorted((root / package).rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def read_stamp(folder: Path) -> dict[str, Any] | None:
    """The stamp of a finished stage, or None where it has not finished."""
    return read_json(folder / STAMP) if (folder / STAMP).is_file() else None


def is_current(folder: Path, stage_fingerprint: str) -> bool:
    """Whether a finished stage was made from exactly these inputs."""
    stamp = read_stamp(folder)
    return stamp is not None and stamp.get("fingerprint") == stage_fingerprint


def required_stamp(folder: Path, *, made_by: str) -> dict[str, Any]:
    """The stamp of a stage that must have finished.

    Raises:
        LongtailError: it has not; the message names the command that does it.
    """
    stamp = read_stamp(folder)
    if stamp is None:
        raise LongtailError(f"{folder} is not finished: run `longtail {made_by}` first")
    return stamp
