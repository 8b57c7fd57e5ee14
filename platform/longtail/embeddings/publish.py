"""Publication: write a version into a slot that no consumer reads, then flip; and rollback."""

import logging
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.artifacts import STAMP, RunPaths, VersionPaths, parse_version_day, read_json
from longtail.config import Config
from longtail.embeddings.export import approved_version
from longtail.embeddings.fill_slot import choose_slot, difference, fill_slot, flip, settle
from longtail.embeddings.publish_query_features import publish_query_features
from longtail.embeddings.published_pointer import (
    SLOTS,
    LockedError,
    Pointer,
    Publication,
    publication_lock,
    read_pointer,
    timestamp,
)
from longtail.embeddings.refresh.withdrawn import readmit, sentence, withdraw, withdrawal
from longtail.embeddings.results import NotPublished, PublicationResult, ServedStatus, Status
from longtail.embeddings.sorted_keys import Keys
from longtail.embeddings.step_names import Step, enter
from longtail.embeddings.version_validation import check_lost, validate_embeddings
from longtail.embeddings.versions import list_versions, retain_versions, verify_version
from longtail.errors import LongtailError
from longtail.features.schema import Schema

if TYPE_CHECKING:  # OnlineStore imports Feast, which takes seconds: `status` must not
    from longtail.features.feast.embedding_slots import OnlineStore

__all__ = ["publish", "publish_query_features", "repair", "rollback", "status"]

log = logging.getLogger("longtail.embeddings")


def publish(config: Config, as_of: date) -> PublicationResult:
    """Serve the version that the gate approved for a day.

    Nothing is published if that version is served already, if a version of a newer day is, or if
    it was rolled back and nobody has approved it since. That is not an error.

    Returns:
        The `status` document with `published` (bool) and, if it is false, `reason`.

    Raises:
        LongtailError: no version is approved, it is damaged, or another publication is running.
            The version that was served before is still served, whole.
    """
    version = approved_version(config, as_of)
    with publication_lock(config):
        pointer = read_pointer(config)
        if pointer is not None and as_of < pointer.served.day:
            return _not_published(
                pointer, f"{pointer.served.as_of} is served, which is newer than {as_of}"
            )
        withdrawn = withdrawal(config, version)
        if pointer is not None and withdrawn is not None:
            return _not_published(pointer, sentence(withdrawn))
        online = _open_online(config)
        if pointer is not None:
            # An earlier publication may have been killed between its commit and the service.
            pointer = settle(config, online, pointer)
            if pointer.served.version == version:
                if _still_there(config, online, pointer):
                    return _not_published(pointer, f"version {version} is served already")
                log.info("version %s is served, but slot %s lost it", version, pointer.served.slot)
        pointer = _serve(config, online, pointer, version, catalogue=_catalogue(config, as_of))
        enter(Step.RETAIN_VERSIONS)
        retain_versions(config)
    return {"published": True, **_document(pointer)}


def rollback(config: Config, version: str | None = None, *, note: str = "") -> PublicationResult:
    """Serve an earlier version again: the previous one, or any committed one.

    If a slot still holds the version, this is one flip. Otherwise the version is written, as in any
    publication. The version that was served is withdrawn, if it is the newer one: no refresh
    publishes it until somebody approves it. To name a version that is withdrawn approves it.

    Args:
        config: the project.
        version: the version's name; None for the previous one.
        note: the reason, for whoever reads the record.

    Returns:
        The `status` document with `published` (bool) and, if it is false, `reason`.

    Raises:
        LongtailError: there is no version to go back to, it is damaged, or another publication is
            running.
    """
    with publication_lock(config):
        pointer = read_pointer(config)
        if pointer is None:
            raise LongtailError("nothing is published yet, so there is nothing to go back from")
        if version is None:
            if pointer.previous is None:
                names = [v["version"] for v in list_versions(config) if v["state"] == "kept"]
                raise LongtailError(
                    "no version was served before this one: name one with `longtail rollback "
                    f"VERSION` (on disk: {', '.join(names) or 'no other'})"
                )
            version = pointer.previous.version
            withdrawn = withdrawal(config, version)
            if withdrawn is not None:
                raise LongtailError(
                    f"{sentence(withdrawn)}; name another version, or this one, to serve it now: "
                    "`longtail versions` lists all"
                )
        online = _open_online(config)
        pointer = settle(config, online, pointer)
        if pointer.served.version == version:
            return _not_published(pointer, f"version {version} is served already")
        pointer = _serve(config, online, pointer, version, catalogue=None, note=note)
    return {"published": True, **_document(pointer)}


def status(config: Config) -> Status:
    """Return which version is served, after finishing a publication that was interrupted.

    Returns:
        `{"version", "as_of", "published_at", "num_items", "slot", "newest_row", "previous"}`, where
        `newest_row` is a timestamp or None, and `previous` a version or None; `{"version": None}`
        before the first publication.
    """
    pointer = read_pointer(config)
    if pointer is not None and pointer.leaving is not None:
        repair(config)
        pointer = read_pointer(config)
    return {"version": None} if pointer is None else _document(pointer)


def repair(config: Config, online: "OnlineStore | None" = None) -> bool:
    """Finish a publication that was interrupted between its commit and the service.

    Args:
        config: the project.
        online: the open store, if the caller has one.

    Returns:
        False if another process is publishing now: that process points the service itself.
    """
    try:
        with publication_lock(config):
            pointer = read_pointer(config)
            if pointer is not None:
                settle(config, online or _open_online(config), pointer)
    except LockedError:
        return False
    return True


def _open_online(config: Config) -> "OnlineStore":
    from longtail.features.feast.embedding_slots import OnlineStore

    online = OnlineStore(config)
    enter(Step.RESTORE_SLOTS)
    online.restore_slots(SLOTS)
    return online


def _serve(
    config: Config,
    online: "OnlineStore",
    pointer: Pointer | None,
    version: str,
    *,
    catalogue: Keys | None,
    note: str = "",
) -> Pointer:
    """Validate a version, find or fill a slot that holds it, and flip to that slot.

    Args:
        config: the project.
        online: the open store.
        pointer: what is served now; None before the first publication.
        version: the version to serve.
        catalogue: the items that the version must have; None for a rollback, which takes a version
            as it is.
        note: the reason of a rollback.
    """
    enter(Step.VALIDATE)
    manifest = verify_version(config, version)
    file = VersionPaths(config, version).embeddings
    batch_rows = config.publication.batch_rows
    content = validate_embeddings(file, manifest, batch_rows=batch_rows, catalogue=catalogue)
    if catalogue is not None and pointer is not None:
        _check_lost(config, file, pointer)
    log.info("version %s: %d embeddings are valid", version, content.num_rows)
    # After a rollback, or before one, a slot may still hold the version: then a flip is enough.
    slot = pointer.slot_of(version) if pointer and pointer.served.version != version else None
    if slot is not None:
        problem = difference(config, online, slot=slot, file=file, version=version, content=content)
        log.info("slot %s: %s", slot, problem or f"still holds version {version}, whole")
        slot = slot if problem is None else None
    if slot is None:
        enter(Step.CHOOSE_SLOT)
        slot = choose_slot(online, pointer)
        fill_slot(config, online, pointer, slot=slot, file=file, version=version, content=content)
    served = Publication(
        version=version,
        as_of=manifest["as_of"],
        published_at=timestamp(),
        num_items=content.num_rows,
        slot=slot,
        **_data_of(config, pointer, version),
    )
    if catalogue is None and pointer is not None:
        # Before the commit, so that no crash leaves a version rolled back and not withdrawn.
        if _age(config, pointer.served.version) > _age(config, version):
            withdraw(config, pointer.served.version, note)
        readmit(config, version, note or "served again by a rollback")
    return flip(config, online, pointer, served, sha256=content.sha256)


def _data_of(config: Config, pointer: Pointer | None, version: str) -> dict[str, str | None]:
    """Return what is known of the data of a version: their newest row, and their fingerprint.

    A publication follows the catalogue that the version was made from. Later that day's catalogue
    may be another one, so a version that was served before is taken from the pointer.
    """
    known = [pointer.served, pointer.previous] if pointer is not None else []
    for each in known:
        if each is not None and each.version == version:
            return {"newest_row": each.newest_row, "data": each.data}
    stamp = RunPaths(config, parse_version_day(version)).catalogue / STAMP
    found = read_json(stamp) if stamp.is_file() else {}
    return {"newest_row": found.get("newest_row"), "data": found.get("fingerprint")}


def _age(config: Config, version: str) -> tuple[str, str]:
    """Return what orders versions by age: day, and time of the commit where it is still known."""
    manifest = VersionPaths(config, version).manifest
    created = read_json(manifest)["created_at"] if manifest.is_file() else ""
    return parse_version_day(version).isoformat(), created


def _check_lost(config: Config, file: Path, pointer: Pointer) -> None:
    """Refuse a version that lacks too many of the served items; see `check_lost`."""
    version = pointer.served.version
    served = VersionPaths(config, version).embeddings
    if not served.is_file():
        log.warning("%s does not exist: cannot tell which items the new version lacks", served)
        return
    check_lost(
        file,
        served,
        version=version,
        limit=config.publication.max_lost_share,
        batch_rows=config.publication.batch_rows,
    )


def _still_there(config: Config, online: "OnlineStore", pointer: Pointer) -> bool:
    """Return whether the served slot has its first rows; a lost or emptied store has none."""
    file = VersionPaths(config, pointer.served.version).embeddings
    return file.is_file() and not difference(
        config,
        online,
        slot=pointer.served.slot,
        file=file,
        version=pointer.served.version,
        content=None,
    )


def _catalogue(config: Config, as_of: date) -> Keys:
    """Return all items of a day's catalogue."""
    files = RunPaths(config, as_of).catalogue_files
    return Keys(files.items, Schema.from_json(read_json(files.schema)).item_key)


def _document(pointer: Pointer) -> ServedStatus:
    served = pointer.served
    return {
        "version": served.version,
        "as_of": served.as_of,
        "published_at": served.published_at,
        "num_items": served.num_items,
        "slot": served.slot,
        "newest_row": served.newest_row,
        "previous": pointer.previous.version if pointer.previous else None,
    }


def _not_published(pointer: Pointer, reason: str) -> NotPublished:
    log.info("nothing published: %s", reason)
    return {"published": False, "reason": reason, **_document(pointer)}
