"""The names of a publication's steps, for its log, its crash drills and PUBLICATION.md."""

import logging
from enum import StrEnum

log = logging.getLogger("longtail.embeddings.step_names")


class Step(StrEnum):
    """A step of a publication, in this order; PUBLICATION.md says what a crash in it leaves.

    A rollback enters the same steps, except the last. If a slot still holds the version, it skips
    those from `CHOOSE_SLOT` to `READ_BACK`. After a crash, the next command enters `POINT_SERVICE`
    and `RECORD_LEFT` if they were not reached.
    """

    RESTORE_SLOTS = "restore slots"
    """Register slots that the registry does not know."""
    VALIDATE = "validate"
    """Compare the version with its manifest, its catalogue and the served version."""
    CHOOSE_SLOT = "choose slot"
    """Find the slot that is neither served nor previous; wait until no consumer can read it."""
    FORGET_SLOT = "forget slot"
    """Remove the slot's record from the pointer file, before its rows are removed."""
    EMPTY_SLOT = "empty slot"
    """Remove every row of the slot."""
    WRITE = "write"
    """Write every row of the version into the slot."""
    READ_BACK = "read back"
    """Read every row of the slot and compare it."""
    COMMIT = "commit"
    """Replace the pointer file: from then on the new version is served."""
    POINT_SERVICE = "point service"
    """Apply the FeatureService that names the slot."""
    RECORD_LEFT = "record left"
    """Record in the pointer file when the service left the old slot."""
    RETAIN_VERSIONS = "retain versions"
    """Remove the versions beyond `publication.keep_versions` from the disk."""


def enter(step: Step) -> None:
    """Log that a step begins, before it does anything: a debug record with the attribute `step`."""
    log.debug("publication: %s", step, extra={"step": step})
