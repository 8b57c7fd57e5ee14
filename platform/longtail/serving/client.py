"""The client that looks up item embeddings in the online store."""

import time
from collections.abc import Sequence

from longtail.config import Config
from longtail.embeddings.publish import repair
from longtail.errors import LongtailError
from longtail.features.feast.embedding_slots import OnlineStore
from longtail.features.feast.write_online_slot import EmbeddingRows
from longtail.serving.item_keys import check_keys
from longtail.serving.results import LookupResult
from longtail.serving.served_version import PointerFile

SETTLE_SECONDS = 10.0
"""The time that a lookup waits for a publisher that is between its commit and the service."""

MAX_REPAIRS = 2
"""Repairs in one lookup: a second one helps if another publication came after the first."""


class EmbeddingClient:
    """The client that looks up embeddings of the served version, through Feast.

    It follows every publication without a restart. All embeddings that one call returns are of one
    version: each row carries its version, which is compared with the published one. Safe to use
    from many threads.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._online = OnlineStore(config)
        self._pointer = PointerFile(config)

    def lookup(self, items: Sequence[str]) -> LookupResult:
        """Look up the embeddings of items.

        Args:
            items: item ids; any number, at least one.

        Returns:
            `{"version": str, "embeddings": {item: list of dim floats, or None if unknown},
            "missing": [item]}`, in the order asked for. The missing items are those that the
            version does not have; their embedding is None. A version with biases has also
            `"biases": {item: float, or None if unknown}`: a query's score of an item is the inner
            product of their vectors and the item's bias.

        Raises:
            InputError: no item is named, or one is not a string.
            LongtailError: nothing is published, or the store does not hold the published version.
        """
        check_keys(items, "item")
        deadline = time.monotonic() + SETTLE_SECONDS
        refreshed, num_repairs = False, 0
        while True:
            version, problem, rows = self._read(items)
            if problem is None:
                embeddings = dict(zip(items, rows.vectors, strict=True))
                missing = [item for item, vector in embeddings.items() if vector is None]
                found: LookupResult = {
                    "version": version,
                    "embeddings": embeddings,
                    "missing": missing,
                }
                if any(bias is not None for bias in rows.biases):
                    found["biases"] = dict(zip(items, rows.biases, strict=True))
                return found
            if num_repairs == MAX_REPAIRS or time.monotonic() > deadline:
                raise LongtailError(
                    f"the online store does not hold the published version {version}: {problem}; "
                    "run `longtail publish` again"
                )
            # There are three causes. Our registry is older than the pointer: the refresh below
            # helps. A publication was interrupted between its commit and the service: the repair
            # helps. Or one is there at this moment, and will be done soon: waiting helps.
            if refreshed and repair(self._config, self._online):
                num_repairs += 1
            elif refreshed:
                time.sleep(0.05)
            # After the repair, because our registry does not know yet what another process did
            # just before it.
            self._online.refresh()
            refreshed = True

    def _read(self, items: Sequence[str]) -> tuple[str, str | None, EmbeddingRows]:
        """Read items once.

        Returns:
            The published version; the problem with the read, or None; and the rows.
        """
        served = self._pointer.served()
        slot, rows = self._online.lookup(items)
        problem = None
        others = {version for version in rows.versions if version is not None} - {served.version}
        if slot != served.slot:
            problem = f"the service names slot {slot}, published is slot {served.slot}"
        elif others:
            problem = f"slot {slot} has rows of {', '.join(sorted(others))}"
        return served.version, problem, rows
