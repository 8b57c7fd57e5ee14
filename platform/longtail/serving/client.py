"""Lookup of item embeddings, by everybody who serves them."""

import time
from collections.abc import Sequence
from typing import Any

from longtail.config import Config
from longtail.embeddings.publish import repair
from longtail.errors import LongtailError
from longtail.features.feast.online_store import OnlineStore
from longtail.serving.item_keys import check_keys
from longtail.serving.served_version import PointerFile

SETTLE_SECONDS = 10.0
"""How long a lookup waits for a publisher that is between its commit and the service."""

MAX_REPAIRS = 2
"""Nothing is wrong with the store after the first one, if another publication came in between."""


class EmbeddingClient:
    """Embeddings of the served version, through Feast.

    It follows every publication without a restart. What one call returns is of one version: every
    row carries its version, and is compared with the published one. Safe to use from many threads.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._online = OnlineStore(config)
        self._pointer = PointerFile(config)

    def lookup(self, items: Sequence[str]) -> dict[str, Any]:
        """The embeddings of items.

        Args:
            items: item ids; any number, at least one.

        Returns:
            `{"version": str, "embeddings": {item: list of dim floats, or None if unknown},
            "missing": [item]}`, in the order asked for. Missing are the items that the version
            does not have: those whose embedding is None.

        Raises:
            InputError: no item is named, or one is not a string.
            LongtailError: nothing is published, or the store does not hold what is published.
        """
        check_keys(items, "item")
        deadline = time.monotonic() + SETTLE_SECONDS
        refreshed, num_repairs = False, 0
        while True:
            version, problem, vectors = self._read(items)
            if problem is None:
                embeddings = dict(zip(items, vectors, strict=True))
                missing = [item for item, vector in embeddings.items() if vector is None]
                return {"version": version, "embeddings": embeddings, "missing": missing}
            if num_repairs == MAX_REPAIRS or time.monotonic() > deadline:
                raise LongtailError(
                    f"the online store does not hold the published version {version}: {problem}; "
                    "run `longtail publish` again"
                )
            # Our registry is older than the pointer; or a publication was interrupted between its
            # commit and the service; or one is there right now, and will be done in a moment.
            if refreshed and repair(self._config, self._online):
                num_repairs += 1
            elif refreshed:
                time.sleep(0.05)
            # After the repair: what another process did just before it is not in our registry yet.
            self._online.refresh()
            refreshed = True

    def _read(self, items: Sequence[str]) -> tuple[str, str | None, list[list[float] | None]]:
        """One read: the published version, what is wrong with the read, and the vectors."""
        served = self._pointer.served()
        slot, rows = self._online.lookup(items)
        problem = None
        others = {version for version in rows.versions if version is not None} - {served.version}
        if slot != served.slot:
            problem = f"the service names slot {slot}, published is slot {served.slot}"
        elif others:
            problem = f"slot {slot} has rows of {', '.join(sorted(others))}"
        return served.version, problem, rows.vectors
