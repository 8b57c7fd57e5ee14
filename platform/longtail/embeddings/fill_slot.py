"""The steps of a publication: settle the service, choose a slot, fill it, flip the pointer.

Every step may be interrupted. Their order keeps the served version whole: a slot's record is
removed before its rows are, the pointer is flipped only after every row was read back, and the
service follows the pointer, at once or when the next command settles it.
"""

import hashlib
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.config import Config
from longtail.embeddings.ordered_threads import in_order
from longtail.embeddings.published_pointer import (
    SLOTS,
    Pointer,
    Publication,
    Slot,
    timestamp,
    write_pointer,
)
from longtail.embeddings.step_names import Step, enter
from longtail.embeddings.version_validation import Batch, Content, embedding_batches
from longtail.embeddings.write_progress import passes_tenth
from longtail.errors import LongtailError

if TYPE_CHECKING:  # both import Feast, which takes seconds
    from longtail.features.feast.embedding_slots import OnlineStore
    from longtail.features.feast.write_online_slot import ReadBack

log = logging.getLogger("longtail.embeddings")


def settle(config: Config, online: "OnlineStore", pointer: Pointer) -> Pointer:
    """Make the service name the served slot, and record when it left the other one.

    Does nothing unless a publication was interrupted after its commit, or older definitions were
    applied. The publication lock must be held.

    Returns:
        The pointer, settled: `leaving` is None.
    """
    named, served = online.service_slot(), pointer.served.slot
    if named == served and pointer.leaving is None:
        return pointer
    if named not in (None, served, pointer.leaving):
        # Another program made the service name this slot, so consumers may be reading it now.
        pointer = replace(_left(pointer), leaving=named)
        write_pointer(config, pointer)
    if named != served:
        enter(Step.POINT_SERVICE)
        online.point_service(served)
        log.info("service item_embeddings: slot %s -> slot %s", named, served)
    enter(Step.RECORD_LEFT)
    pointer = _left(pointer)
    write_pointer(config, pointer)
    return pointer


def _left(pointer: Pointer) -> Pointer:
    """Return the pointer with the time at which the service left the slot `leaving`."""
    if pointer.leaving is None:
        return pointer
    slot = replace(pointer.slots.get(pointer.leaving, Slot()), served_until=timestamp())
    return replace(pointer.with_slot(pointer.leaving, slot), leaving=None)


def choose_slot(online: "OnlineStore", pointer: Pointer | None) -> str:
    """Return a slot that is neither served nor previous, once no consumer can be reading it.

    Waits if the service left the slot a moment ago, for the registry's `cache_ttl_seconds` at most.
    """
    if pointer is None:
        taken = {online.service_slot()}
        records: dict[str, Slot] = {}
    else:
        taken = {pointer.served.slot, pointer.previous.slot if pointer.previous else None}
        records = pointer.slots
    # A consumer keeps reading the slot that its cached registry names until the cache expires.
    now = datetime.now(UTC)
    waits = {
        slot: records.get(slot, Slot()).free_in(online.cache_ttl, now).total_seconds()
        for slot in SLOTS
        if slot not in taken
    }
    # Of several free slots, take the one that the service left first, or has never named.
    left = {slot: records.get(slot, Slot()).served_until or "" for slot in waits}
    chosen = min(waits, key=lambda slot: (waits[slot], left[slot]))
    if waits[chosen] > 0:
        log.info(
            "slot %s was served a moment ago: waiting %.1f s until every consumer has read the "
            "registry again (cache_ttl_seconds: %.0f)",
            chosen,
            waits[chosen],
            online.cache_ttl.total_seconds(),
        )
        time.sleep(waits[chosen])
    return chosen


def fill_slot(
    config: Config,
    online: "OnlineStore",
    pointer: Pointer | None,
    *,
    slot: str,
    file: Path,
    version: str,
    content: Content,
) -> None:
    """Empty a slot, write a version's embeddings into it, and read every row back.

    Args:
        config: the project.
        online: the open store.
        pointer: what is served now; its record of this slot is removed first.
        slot: the slot's name; it is neither served nor previous.
        file: the version's `item_embeddings.parquet`.
        version: the version's name.
        content: what the file holds, as `validate_embeddings` found it.

    Raises:
        LongtailError: the slot does not hold exactly what was written. It is not served.
    """
    # The record goes before the rows: after a crash no rollback trusts a half-emptied slot.
    enter(Step.FORGET_SLOT)
    if pointer is not None and slot in pointer.slots:
        write_pointer(
            config, pointer.with_slot(slot, replace(pointer.slots[slot], version=None, sha256=None))
        )
    enter(Step.EMPTY_SLOT)
    started = time.monotonic()
    online.empty_slot(slot)
    log.info("slot %s: emptied in %.1f s", slot, time.monotonic() - started)
    enter(Step.WRITE)
    started = time.monotonic()
    _write(config, online, slot, file, version, content.num_rows)
    wrote = time.monotonic()
    # A store that lost or changed a row is found here, while the old version is still served.
    enter(Step.READ_BACK)
    problem = difference(config, online, slot=slot, file=file, version=version, content=content)
    if problem is not None:
        raise LongtailError(
            f"slot {slot} was not published: {problem}; what is served stays. Publish again"
        )
    log.info(
        "slot %s: read back %d rows, all equal, sha256 %s (write %.1f s, read %.1f s)",
        slot,
        content.num_rows,
        content.sha256[:12],
        wrote - started,
        time.monotonic() - wrote,
    )


def _write(
    config: Config, online: "OnlineStore", slot: str, file: Path, version: str, num_rows: int
) -> None:
    """Write every row of a version into a slot, batch by batch."""
    rows, written = online.slot(slot), 0

    def write(batch: Batch) -> int:
        rows.write(batch.items, batch.vectors, version=version, bias=batch.bias)
        return len(batch.items)

    for count in in_order(
        write,
        embedding_batches(file, config.publication.batch_rows),
        num_threads=_num_threads(config, online, slot),
    ):
        if passes_tenth(written, written + count, num_rows):
            log.info("slot %s: wrote %d of %d rows", slot, written + count, num_rows)
        written += count


def _num_threads(config: Config, online: "OnlineStore", slot: str) -> int:
    """Return how many threads read or write a slot: one if the store gains nothing by more."""
    return config.publication.num_threads if online.slot(slot).parallel else 1


def difference(
    config: Config,
    online: "OnlineStore",
    *,
    slot: str,
    file: Path,
    version: str,
    content: Content | None,
) -> str | None:
    """Read a slot back, and compare it with a version's embeddings.

    Args:
        config: the project.
        online: the open store.
        slot: the slot's name.
        file: the version's `item_embeddings.parquet`.
        version: the version that every row must carry.
        content: what the slot must hold, all of it and nothing else; None to check only that the
            first batch is there.

    Returns:
        The first difference, in words; None if there is none.
    """
    rows, digest = online.slot(slot), hashlib.sha256()

    def read_back(batch: Batch) -> "ReadBack":
        return rows.read_back(batch.items, batch.vectors, version=version, bias=batch.bias)

    # Three looks, each at what the one before cannot see: every row by itself, the hash of all
    # rows in order, and the number of rows, which finds a row that the version does not have.
    batches = embedding_batches(file, config.publication.batch_rows)
    if content is None:
        return next((read_back(batch).problem for batch in batches), None)
    for found in in_order(read_back, batches, num_threads=_num_threads(config, online, slot)):
        if found.problem is not None:
            return found.problem
        digest.update(found.content)
    if digest.hexdigest() != content.sha256:
        return f"its rows have sha256 {digest.hexdigest()}, not {content.sha256}"
    num_rows = rows.num_rows()
    if num_rows not in (None, content.num_rows):
        return f"it holds {num_rows} rows, not {content.num_rows}"
    return None


def flip(
    config: Config,
    online: "OnlineStore",
    pointer: Pointer | None,
    served: Publication,
    *,
    sha256: str,
) -> Pointer:
    """Serve another slot: replace the pointer file, which commits, then point the service to it.

    Args:
        config: the project.
        online: the open store.
        pointer: what is served now; None before the first publication.
        served: the version to serve, and the slot that holds it.
        sha256: the hash of its rows.

    Returns:
        The new pointer, settled.
    """
    slots = dict(pointer.slots) if pointer else {}
    slots[served.slot] = Slot(version=served.version, sha256=sha256)
    if pointer is None:
        previous, leaving = None, online.service_slot()
    else:
        # A version that is published again because its slot was lost is not its own previous.
        again = pointer.served.version == served.version
        previous, leaving = (pointer.previous if again else pointer.served), pointer.served.slot
    pointer = Pointer(served, previous, slots, leaving if leaving != served.slot else None)
    enter(Step.COMMIT)
    write_pointer(config, pointer)
    log.info("version %s is committed: slot %s is served", served.version, served.slot)
    return settle(config, online, pointer)
