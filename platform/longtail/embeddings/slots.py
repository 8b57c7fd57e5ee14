"""The steps of a publication: settle the service, choose a slot, fill it, flip the pointer.

Every step may be interrupted. The order keeps what is served whole: a slot's record is taken
away before its rows are, the pointer is flipped only after every row was read back, and the
service follows the pointer, now or when the next command settles it.
"""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from longtail.config import Config
from longtail.embeddings.pointer import (
    SLOTS,
    Pointer,
    Publication,
    Slot,
    timestamp,
    write_pointer,
)
from longtail.embeddings.steps import Step, enter
from longtail.embeddings.validation import embedding_batches
from longtail.errors import LongtailError

if TYPE_CHECKING:  # it imports Feast, which takes seconds
    from longtail.features.online import OnlineStore

log = logging.getLogger("longtail.embeddings")


def settle(config: Config, online: "OnlineStore", pointer: Pointer) -> Pointer:
    """Make the service name the served slot, and record when it left the other one.

    Nothing to do unless a publication was interrupted after its commit, or somebody applied
    older definitions. The publication lock must be held.

    Returns:
        The pointer, settled: `leaving` is None.
    """
    named, served = online.service_slot(), pointer.served.slot
    if named == served and pointer.leaving is None:
        return pointer
    if named not in (None, served, pointer.leaving):
        # Somebody else made the service name this slot: it may be read until just now.
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
    """Record that the service has left the slot `leaving`."""
    if pointer.leaving is None:
        return pointer
    slot = replace(pointer.slots.get(pointer.leaving, Slot()), served_until=timestamp())
    return replace(pointer.with_slot(pointer.leaving, slot), leaving=None)


def choose_slot(online: "OnlineStore", pointer: Pointer | None) -> str:
    """A slot that is neither served nor previous, once no consumer can still be reading it.

    Waits, at most the registry's `cache_ttl_seconds`, where the slot was left a moment ago.
    """
    if pointer is None:
        taken = {online.service_slot()}
        records: dict[str, Slot] = {}
    else:
        taken = {pointer.served.slot, pointer.previous.slot if pointer.previous else None}
        records = pointer.slots
    now = datetime.now(UTC)
    waits = {
        slot: records.get(slot, Slot()).free_in(online.cache_ttl, now).total_seconds()
        for slot in SLOTS
        if slot not in taken
    }
    # Of several free slots the one that was left first, or never served.
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
    num_rows: int,
) -> None:
    """Empty a slot, write a version's embeddings into it, and read every row back.

    Raises:
        LongtailError: the slot does not hold exactly what was written. It is not served.
    """
    enter(Step.FORGET_SLOT)
    if pointer is not None and slot in pointer.slots:
        write_pointer(config, pointer.with_slot(slot, replace(pointer.slots[slot], version=None)))
    enter(Step.EMPTY_SLOT)
    online.empty_slot(slot)
    log.info("slot %s: emptied", slot)
    enter(Step.WRITE)
    started, written = time.monotonic(), 0
    for items, vectors in embedding_batches(file, config.publication.batch_rows):
        if written == 0 and any(found is not None for found in online.read(slot, items).vectors):
            raise LongtailError(f"slot {slot} still has rows after it was emptied: publish again")
        online.write(slot, items, vectors, version=version)
        if 10 * (written + len(items)) // num_rows > 10 * written // num_rows:
            log.info("slot %s: wrote %d of %d rows", slot, written + len(items), num_rows)
        written += len(items)
    wrote = time.monotonic()
    enter(Step.READ_BACK)
    problem = difference(config, online, slot=slot, file=file, version=version)
    if problem is not None:
        raise LongtailError(
            f"slot {slot} was not published: {problem}; what is served stays. Publish again"
        )
    log.info(
        "slot %s: read back %d rows, all equal (write %.1f s, read %.1f s)",
        slot,
        written,
        wrote - started,
        time.monotonic() - wrote,
    )


def difference(
    config: Config,
    online: "OnlineStore",
    *,
    slot: str,
    file: Path,
    version: str,
    first_batch_only: bool = False,
) -> str | None:
    """Compare a slot with a version's embeddings, bit by bit.

    Returns:
        None where every row is equal, else what differs first.
    """
    for items, vectors in embedding_batches(file, config.publication.batch_rows):
        rows = online.read(slot, items)
        lengths = np.array([-1 if found is None else len(found) for found in rows.vectors])
        if (wrong := _first(lengths != vectors.shape[1])) is not None:
            what = "has no row" if lengths[wrong] < 0 else f"has {lengths[wrong]} values"
            return f"item {items[wrong]!r} {what}"
        bits = np.array(rows.vectors, np.float32).view(np.uint32)
        if (wrong := _first((bits != vectors.view(np.uint32)).any(axis=1))) is not None:
            return f"item {items[wrong]!r} has another vector"
        other = np.array([found != version for found in rows.versions])
        if (wrong := _first(other)) is not None:
            return f"item {items[wrong]!r} carries version {rows.versions[wrong]!r}"
        if first_batch_only:
            break
    return None


def _first(flags: npt.NDArray[np.bool_]) -> int | None:
    found = np.flatnonzero(flags)
    return int(found[0]) if len(found) else None


def flip(
    config: Config, online: "OnlineStore", pointer: Pointer | None, served: Publication
) -> Pointer:
    """Serve another slot: replace the pointer file, which commits, then the service follows."""
    slots = dict(pointer.slots) if pointer else {}
    slots[served.slot] = Slot(version=served.version)
    if pointer is None:
        previous, leaving = None, online.service_slot()
    else:
        # A version that is published again, because its slot was lost, is not its own previous.
        again = pointer.served.version == served.version
        previous, leaving = (pointer.previous if again else pointer.served), pointer.served.slot
    pointer = Pointer(served, previous, slots, leaving if leaving != served.slot else None)
    enter(Step.COMMIT)
    write_pointer(config, pointer)
    log.info("version %s is committed: slot %s is served", served.version, served.slot)
    return settle(config, online, pointer)
