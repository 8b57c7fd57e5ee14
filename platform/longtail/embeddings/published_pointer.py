"""The pointer file `published.json`, which names the served version and slot, and its lock.

Replacing the file commits a publication. The FeatureService `item_embeddings` follows it. Until it
has, the pointer is not *settled*: `leaving` names the slot that the service may still show.
Everything else about publication is derived from this file.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from longtail.artifacts import published_pointer, read_json, write_json
from longtail.config import Config
from longtail.errors import LongtailError

SLOTS = ("a", "b", "c")
"""The slots that the Feast repository defines: served, previous, next."""


@dataclass(frozen=True)
class Publication:
    """A version that is or was served.

    Attributes:
        version: the version's name.
        as_of: its day, ISO 8601.
        published_at: when the pointer was flipped to it, UTC, ISO 8601.
        num_items: rows in its slot.
        slot: the slot that holds them.
        newest_row: the timestamp of the newest row of the data that it was made from, UTC, ISO
            8601; None if it is not known.
        data: the fingerprint of these data; None if it is not known.
    """

    version: str
    as_of: str
    published_at: str
    num_items: int
    slot: str
    newest_row: str | None = None
    data: str | None = None

    @property
    def day(self) -> date:
        """`as_of` as a date."""
        return date.fromisoformat(self.as_of)


@dataclass(frozen=True)
class Slot:
    """The record of a slot.

    Attributes:
        version: the version of which the slot holds every row; None while that is not certain.
        served_until: when the FeatureService last left the slot, UTC, ISO 8601; None if it never
            did, or if the slot is served now.
        sha256: the hash of that version's rows as they were read back. It is equal wherever the
            same version is published. See `version_validation.Content`.
    """

    version: str | None = None
    served_until: str | None = None
    sha256: str | None = None

    def free_in(self, cache_ttl: timedelta, now: datetime) -> timedelta:
        """Return how long a consumer with a cached registry may still read the slot.

        Args:
            cache_ttl: how long a consumer keeps the registry; also the longest answer, so that a
                clock that was set back cannot block a slot for longer.
            now: the time now, with its zone.
        """
        if self.served_until is None:
            return timedelta(0)
        left = datetime.fromisoformat(self.served_until) + cache_ttl - now
        return min(max(left, timedelta(0)), cache_ttl)


@dataclass(frozen=True)
class Pointer:
    """The content of `published.json`.

    Attributes:
        served: the version that is served now.
        previous: the version that was served before it, to which `rollback` returns.
        slots: the record of each slot, by its name.
        leaving: the slot that the FeatureService may still name although another is served.
    """

    served: Publication
    previous: Publication | None = None
    slots: dict[str, Slot] = field(default_factory=dict)
    leaving: str | None = None

    def with_slot(self, name: str, slot: Slot) -> "Pointer":
        """Return the same pointer with another record of one slot."""
        return replace(self, slots={**self.slots, name: slot})

    def slot_of(self, version: str) -> str | None:
        """Return the slot that holds every row of a version, or None."""
        return next((name for name, slot in self.slots.items() if slot.version == version), None)

    def to_json(self) -> dict[str, Any]:
        """Return the document of `published.json`."""
        return {
            **asdict(self.served),
            "previous": asdict(self.previous) if self.previous else None,
            "slots": {name: asdict(slot) for name, slot in self.slots.items()},
            "leaving": self.leaving,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Pointer":
        """Read the document that `to_json` returned."""
        previous = document["previous"]
        return cls(
            served=_publication(document),
            previous=_publication(previous) if previous else None,
            slots={name: Slot(**slot) for name, slot in document["slots"].items()},
            leaving=document["leaving"],
        )


def _publication(document: dict[str, Any]) -> Publication:
    # A pointer of an earlier release lacks what has a default.
    known = {
        each.name: document[each.name]
        for each in fields(Publication)
        if each.default is MISSING or each.name in document
    }
    return Publication(**known)


def read_pointer(config: Config) -> Pointer | None:
    """Read the pointer file; None before the first publication.

    Raises:
        LongtailError: the file is damaged.
    """
    file = published_pointer(config)
    try:
        return Pointer.from_json(read_json(file)) if file.is_file() else None
    except (AttributeError, KeyError, TypeError) as error:
        raise LongtailError(
            f"{file} is not a publication pointer ({error!r}): delete it and publish again"
        ) from error


def served_pointer(config: Config) -> Pointer:
    """Read the pointer file of a project that has published.

    Raises:
        LongtailError: nothing is published, or the file is damaged.
    """
    pointer = read_pointer(config)
    if pointer is None:
        raise LongtailError(
            f"nothing is published yet ({published_pointer(config)} does not exist): "
            "run `longtail run` first"
        )
    return pointer


def write_pointer(config: Config, pointer: Pointer) -> None:
    """Replace the pointer file atomically."""
    write_json(published_pointer(config), pointer.to_json())


def timestamp() -> str:
    """Return the time now, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextmanager
def publication_lock(config: Config) -> Iterator[None]:
    """Hold the lock on slots, pointer and service; the kernel frees it when the process ends.

    Raises:
        LongtailError: another process holds it.
    """
    config.home.mkdir(parents=True, exist_ok=True)
    file = config.home / "publication.lock"
    with file.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            # The holder wrote its process id and time into the file.
            handle.seek(0)
            raise LockedError(
                f"another publication is running ({handle.read().strip() or 'unknown process'}, "
                f"lock {file}): wait until it has finished"
            ) from error
        handle.truncate(0)
        handle.write(f"process {os.getpid()} since {timestamp()}\n")
        handle.flush()
        yield


class LockedError(LongtailError):
    """Another publication is running."""
