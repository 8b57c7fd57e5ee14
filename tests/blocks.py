"""A small project with a structure that two towers learn in seconds: blocks of queries and items.

Queries and items belong to sections, and a query chooses items of its own section. A popularity
ranking cannot know that, a model finds out.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.projects import write_project

NUM_SECTIONS, NUM_QUERIES, NUM_ITEMS = 8, 160, 240
FIRST_SEEN = datetime(2024, 1, 1, tzinfo=UTC)
CHOSEN_AT = datetime(2024, 1, 5, 12, tzinfo=UTC)
QUICK: dict[str, Any] = {
    "features": {"default_dim": 8},
    "model": {"hidden": [32], "output_dim": 16},
    "training": {
        "batch_size": 128,
        "num_epochs": 12,
        "warm_start_epochs": 2,
        "threads_per_rank": 1,
        "table_learning_rate": 0.2,
        "tower_learning_rate": 0.05,
        "log_every_steps": 5,
    },
    "schedule": {"first_day": "2024-01-01"},
}


def write_blocks(folder: Path, **config: Any) -> Path:
    """Write the project; returns the path of its `longtail.yaml`.

    Args:
        folder: an existing folder.
        config: sections of the configuration beside or instead of those in `QUICK`.
    """
    numbers = np.arange(max(NUM_QUERIES, NUM_ITEMS))
    sections = [f"section-{number % NUM_SECTIONS}" for number in numbers]
    words = [[f"word-{number % 7}", f"word-{number % 11}"] for number in numbers]
    items = pa.table(
        {
            "item_id": [f"item-{number:03}" for number in range(NUM_ITEMS)],
            "section": sections[:NUM_ITEMS],
            "words": words[:NUM_ITEMS],
            "event_timestamp": timestamps(NUM_ITEMS, FIRST_SEEN),
        }
    )
    queries = pa.table(
        {
            "query_id": [f"query-{number:03}" for number in range(NUM_QUERIES)],
            "section": sections[:NUM_QUERIES],
            "event_timestamp": timestamps(NUM_QUERIES, FIRST_SEEN),
        }
    )
    return write_project(folder, items, queries, structured_choices(), {**QUICK, **config})


def structured_choices() -> pa.Table:
    """Interactions: each query chooses ten of the thirty items of its own section."""
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(NUM_QUERIES), 10)
    in_section = np.concatenate(
        [rng.permutation(NUM_ITEMS // NUM_SECTIONS)[:10] for _ in range(NUM_QUERIES)]
    )
    return choices(query, in_section * NUM_SECTIONS + query % NUM_SECTIONS)


def fashionable_choices() -> pa.Table:
    """Interactions in which everybody follows one fashion: nothing beats a popularity ranking.

    Whatever asks, item number n is chosen with a probability that falls with n.
    """
    rng = np.random.default_rng(1)
    probability = 1.0 / (1.0 + np.arange(NUM_ITEMS))
    probability /= probability.sum()
    item = [rng.choice(NUM_ITEMS, 10, replace=False, p=probability) for _ in range(NUM_QUERIES)]
    return choices(np.repeat(np.arange(NUM_QUERIES), 10), np.concatenate(item))


def choices(query: "np.ndarray[Any, Any]", item: "np.ndarray[Any, Any]") -> pa.Table:
    """Interactions of numbered queries with numbered items."""
    return pa.table(
        {
            "query_id": [f"query-{number:03}" for number in query],
            "item_id": [f"item-{number:03}" for number in item],
            "event_timestamp": timestamps(len(query), CHOSEN_AT),
        }
    )


def timestamps(count: int, moment: datetime) -> pa.Array:
    """The same moment, `count` times."""
    return pa.array([moment] * count, pa.timestamp("us", tz="UTC"))
