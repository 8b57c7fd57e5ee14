"""Publishes or rolls back once: `python publisher.py publish|rollback HOME REPOSITORY`."""

import json
import sys
from pathlib import Path

_BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_BENCHMARKS), str(_BENCHMARKS.parents[1] / "platform")]


def main() -> None:
    """Publish or roll back, and print the resulting document as JSON."""
    what, home, repository = sys.argv[1:]
    from serve_parts.project import DAY

    from longtail.config import Config
    from longtail.embeddings.publish import publish, rollback

    config = Config(feature_repo=Path(repository), home=Path(home))
    print(json.dumps(rollback(config) if what == "rollback" else publish(config, DAY)))


if __name__ == "__main__":
    main()
