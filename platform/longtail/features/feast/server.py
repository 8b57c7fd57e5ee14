"""`python -m longtail.features.feast.server`: Feast's feature server over the project's stores.

Feast's own command would take the places of the stores from `feature_store.yaml`, and these do not
follow `LONGTAIL_HOME`.
"""

import argparse
import sys
from pathlib import Path

from longtail.config import load_config
from longtail.errors import LongtailError
from longtail.features.feast.definitions import open_store
from longtail.features.feast.online_connection import online_failure

LOOPBACK = "127.0.0.1"
# The server sees a publication at most this much later. This is far below `cache_ttl_seconds`, for
# which an old slot is kept.
REGISTRY_REFRESH_SECONDS = 5


def main() -> None:
    """Serve until a signal ends the process.

    The server reads and writes, and asks for no credentials, so it listens only on this machine's
    loopback address.
    """
    parser = argparse.ArgumentParser(prog="longtail.features.feast.server", description=__doc__)
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    try:
        store = open_store(load_config(arguments.config))
        # Otherwise Feast's server would begin, and end in a traceback.
        if (failure := online_failure(store)) is not None:
            raise failure
    except LongtailError as error:
        sys.exit(f"Error: {error}")
    store.serve(LOOPBACK, arguments.port, registry_ttl_sec=REGISTRY_REFRESH_SECONDS)


if __name__ == "__main__":
    main()
