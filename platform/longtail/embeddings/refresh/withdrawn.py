"""The file `withdrawn.json`: versions that were rolled back, and so are not published again.

A refresh of the same day gives the same version. Without this record the next tick of the schedule
would serve it again.
"""

from typing import TypedDict

from longtail.artifacts import read_json, write_json
from longtail.config import Config
from longtail.embeddings.published_pointer import publication_lock, timestamp
from longtail.embeddings.versions import read_manifest
from longtail.errors import InputError


class Withdrawal(TypedDict):
    """What is known of a version that was rolled back.

    Attributes:
        version: the version's name.
        withdrawn_at: when it was rolled back, UTC, ISO 8601.
        note: the reason, in the words of whoever rolled it back; may be empty.
        approved_at: when somebody approved it again, UTC, ISO 8601; None while it is withdrawn.
        approval_note: the reason for that; None while it is withdrawn.
    """

    version: str
    withdrawn_at: str
    note: str
    approved_at: str | None
    approval_note: str | None


def withdrawal(config: Config, version: str) -> Withdrawal | None:
    """Return the withdrawal of a version; None if it may be published."""
    found = _read(config).get(version)
    return found if found is not None and found["approved_at"] is None else None


def sentence(found: Withdrawal) -> str:
    """Return a withdrawal in words, with what to type."""
    note = f' ("{found["note"]}")' if found["note"] else ""
    return (
        f"version {found['version']} was rolled back on {found['withdrawn_at']}{note}, and waits "
        f"for somebody: `longtail approve {found['version']}` lets it be published again"
    )


def withdraw(config: Config, version: str, note: str) -> None:
    """Record that a version was rolled back. The publication lock must be held."""
    entry: Withdrawal = {
        "version": version,
        "withdrawn_at": timestamp(),
        "note": note,
        "approved_at": None,
        "approval_note": None,
    }
    _write(config, entry)


def readmit(config: Config, version: str, note: str) -> None:
    """End the withdrawal of a version, if it is withdrawn. The publication lock must be held."""
    found = withdrawal(config, version)
    if found is not None:
        _write(config, {**found, "approved_at": timestamp(), "approval_note": note})


def approve(config: Config, version: str, note: str = "") -> Withdrawal:
    """Let a version that was rolled back be published again. Nothing is published by this.

    Args:
        config: the project.
        version: the version's name.
        note: the reason, for whoever reads the record.

    Raises:
        InputError: there is no such version, or it was not rolled back.
        LongtailError: it is not committed, or a publication is running.
    """
    with publication_lock(config):
        read_manifest(config, version)
        if withdrawal(config, version) is None:
            raise InputError(
                f"version {version} was not rolled back, so it needs no approval: "
                f"`longtail rollback {version}` serves it"
            )
        readmit(config, version, note)
        return _read(config)[version]


def _read(config: Config) -> dict[str, Withdrawal]:
    file = config.home / "withdrawn.json"
    entries: dict[str, Withdrawal] = read_json(file) if file.is_file() else {}
    return entries


def _write(config: Config, entry: Withdrawal) -> None:
    write_json(config.home / "withdrawn.json", {**_read(config), entry["version"]: entry})
