"""The steps of a publication, by name: what its log, its crash drills and its runbook speak of."""

import logging
from enum import StrEnum

log = logging.getLogger("longtail.embeddings.publication_steps")


class Step(StrEnum):
    """What a publication does, in this order; PUBLICATION.md says what a crash leaves at each.

    A rollback enters the same steps, and of those of the slot only `VALIDATE` where the slot still
    holds the version. The next command after a crash enters the last two, where they are left.
    """

    RESTORE_SLOTS = "restore slots"
    """Register what the registry has lost of the slots."""
    VALIDATE = "validate"
    """Compare the version with its manifest, its catalogue and what is served."""
    CHOOSE_SLOT = "choose slot"
    """Find the slot that is neither served nor previous; wait until nobody can be reading it."""
    FORGET_SLOT = "forget slot"
    """Take the slot's record out of the pointer file, before its rows go."""
    EMPTY_SLOT = "empty slot"
    """Remove every row of the slot."""
    WRITE = "write"
    """Write every row of the version into the slot."""
    READ_BACK = "read back"
    """Read every row of the slot and compare it."""
    COMMIT = "commit"
    """Replace the pointer file: from here on the new version is served."""
    POINT_SERVICE = "point service"
    """Apply the FeatureService that names the slot."""
    RECORD_LEFT = "record left"
    """Note in the pointer file when the service left the slot before."""
    RETAIN_VERSIONS = "retain versions"
    """Remove what is too old from the disk."""


def enter(step: Step) -> None:
    """Say that a step begins, before it does anything; a debug record with the attribute `step`."""
    log.debug("publication: %s", step, extra={"step": step})
