"""Lookup of item embeddings, by everybody who serves them."""

import time
from collections.abc import Sequence
from typing import Any

from longtail.config import Config
from longtail.embeddings.pointer import served_pointer
from longtail.embeddings.publish import repair
from longtail.errors import InputError, LongtailError
from longtail.features.online import OnlineStore

SETTLE_SECONDS = 10.0
"""How long a lookup waits for a publisher that is between its commit and the service."""


class EmbeddingClient:
    """Embeddings of the served version, through Feast.

    It follows every publication without a restart. What one call returns is of one version.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._online = OnlineStore(config)

    def lookup(self, items: Sequence[str]) -> dict[str, Any]:
        """The embeddings of items.

        Args:
            items: item ids; any number, at least one.

        Returns:
            `{"version": str, "embeddings": {item: list of dim floats, or None if unknown}}`, in
            the order asked for.

        Raises:
            InputError: no item is named, or one is not a string.
            LongtailError: nothing is published, or the store does not hold what is published.
        """
        check_keys(items, "item")
        deadline = time.monotonic() + SETTLE_SECONDS
        refreshed, repaired = False, None
        while True:
            version, problem, vectors = self._read(items)
            if problem is None:
                return {"version": version, "embeddings": dict(zip(items, vectors, strict=True))}
            if repaired == version or time.monotonic() > deadline:
                raise LongtailError(
                    f"the online store does not hold the published version {version}: {problem}; "
                    "run `longtail publish` again"
                )
            # Our registry is older than the pointer; or a publication was interrupted between its
            # commit and the service; or one is there right now, and will be done in a moment.
            self._online.refresh()
            if not refreshed:
                refreshed = True
            elif repair(self._config, self._online):
                repaired = version
            else:
                time.sleep(0.05)

    def _read(self, items: Sequence[str]) -> tuple[str, str | None, list[list[float] | None]]:
        """One read: the published version, what is wrong with the read, and the vectors."""
        served = served_pointer(self._config).served
        slot, rows = self._online.lookup(items)
        problem = None
        others = {version for version in rows.versions if version is not None} - {served.version}
        if slot != served.slot:
            problem = f"the service names slot {slot}, published is slot {served.slot}"
        elif others:
            problem = f"slot {slot} has rows of {', '.join(sorted(others))}"
        return served.version, problem, rows.vectors


def check_keys(keys: Sequence[str], what: str) -> None:
    """Refuse what cannot be a list of keys.

    Raises:
        InputError: it is empty, or a key is not a string.
    """
    if isinstance(keys, str) or not keys:
        raise InputError(f"name at least one {what}, as a list of strings")
    for key in keys:
        if not isinstance(key, str):
            raise InputError(f"{what} {key!r} is not a string")
