"""The pointer file: which version is served, from which slot, and who may change that.

`published.json` is the commit of a publication. The FeatureService `item_embeddings` follows it:
between the two the pointer is not *settled*, and `leaving` names the slot that the service may
still show. Everything else about publication is read off this file.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from longtail.artifacts import published_pointer, read_json, write_json
from longtail.config import Config
from longtail.errors import LongtailError

SLOTS = ("a", "b", "c")
"""The slots that the Feast repository defines: served, previous, next."""


@dataclass(frozen=True)
class Publication:
    """One version as it is, or was, served.

    Attributes:
        version: the version's name.
        as_of: its day, ISO 8601.
        published_at: when the pointer was flipped to it, UTC, ISO 8601.
        num_items: rows in its slot.
        slot: the slot that holds them.
    """

    version: str
    as_of: str
    published_at: str
    num_items: int
    slot: str

    @property
    def day(self) -> date:
        """`as_of` as a date."""
        return date.fromisoformat(self.as_of)


@dataclass(frozen=True)
class Slot:
    """What a slot holds.

    Attributes:
        version: the version whose rows it holds, whole; None while that is not sure.
        served_until: when the FeatureService last left it, UTC, ISO 8601; None if never, or if
            it is served now.
        sha256: of the rows of that version, as they were read back; equal wherever the same
            version is published. See `embeddings.validation.Content`.
    """

    version: str | None = None
    served_until: str | None = None
    sha256: str | None = None

    def free_in(self, cache_ttl: timedelta, now: datetime) -> timedelta:
        """How long a consumer with a cached registry may still read it; zero if none can."""
        if self.served_until is None:
            return timedelta(0)
        left = datetime.fromisoformat(self.served_until) + cache_ttl - now
        return min(max(left, timedelta(0)), cache_ttl)


@dataclass(frozen=True)
class Pointer:
    """The content of `published.json`.

    Attributes:
        served: what is served now.
        previous: what was served before it, where `rollback` goes.
        slots: what each slot holds.
        leaving: the slot that the FeatureService may still name although another is served.
    """

    served: Publication
    previous: Publication | None = None
    slots: dict[str, Slot] = field(default_factory=dict)
    leaving: str | None = None

    def with_slot(self, name: str, slot: Slot) -> "Pointer":
        """The same pointer with another record of one slot."""
        return replace(self, slots={**self.slots, name: slot})

    def slot_of(self, version: str) -> str | None:
        """The slot that holds a version whole, or None."""
        return next((name for name, slot in self.slots.items() if slot.version == version), None)

    def to_json(self) -> dict[str, Any]:
        """The document of `published.json`."""
        return {
            **asdict(self.served),
            "previous": asdict(self.previous) if self.previous else None,
            "slots": {name: asdict(slot) for name, slot in self.slots.items()},
            "leaving": self.leaving,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Pointer":
        """Read what `to_json` made."""
        previous = document["previous"]
        return cls(
            served=_publication(document),
            previous=_publication(previous) if previous else None,
            slots={name: Slot(**slot) for name, slot in document["slots"].items()},
            leaving=document["leaving"],
        )


def _publication(document: dict[str, Any]) -> Publication:
    return Publication(**{name: document[name] for name in Publication.__dataclass_fields__})


def read_pointer(config: Config) -> Pointer | None:
    """What is served; None before the first publication.

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
    """What is served.

    Raises:
        LongtailError: nothing is.
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
    """Now, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextmanager
def publication_lock(config: Config) -> Iterator[None]:
    """Hold the right to change slots, pointer and service; the kernel frees it with the process.

    Raises:
        LongtailError: another process holds it.
    """
    config.home.mkdir(parents=True, exist_ok=True)
    file = config.home / "publication.lock"
    with file.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
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
