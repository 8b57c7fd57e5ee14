"""Generates a project's files from a seed and a format, or with quirks by name.

`PYTHONPATH=platform:. python -m tests.init.files.generated FORMAT SEED FOLDER [QUIRK ...]` writes
the files of one project, to look at.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.init.files import (
    feature_quirks,
    id_quirks,
    table_quirks,
    time_quirks,
    tombstone_quirks,
    weight_quirks,
)
from tests.init.files.draft import FORMATS, Draft, Format, Quirk, TableName
from tests.init.files.tidy import name_answers, tidy_draft
from tests.init.files.writers import write_tables

# The share of projects that have a quirk of a role, by role. The order is that of application:
# names come after ids, and row numbers after all that counts rows.
ROLES: dict[str, float] = {
    "queries": 0.35, "item ids": 0.6, "query ids": 0.5, "names": 0.5, "times": 0.5,
    "item times": 0.2, "dates": 0.1, "weights": 0.3, "numbers": 0.2, "interaction ids": 0.2,
    "gone": 0.3, "group": 0.3, "items feature": 0.1, "items features": 0.5,
    "queries feature": 0.1, "queries features": 0.3, "query words": 0.1,
    "interactions extra": 0.25, "items rows": 0.15, "queries rows": 0.1, "interactions rows": 0.15,
    "index": 0.1, "order": 0.4, "files": 0.15, "file names": 0.2, "dialect": 0.5, "repeats": 0.03,
}  # fmt: skip
QUIRKS: list[Quirk] = [
    *id_quirks.QUIRKS, *time_quirks.QUIRKS, *weight_quirks.QUIRKS, *tombstone_quirks.QUIRKS,
    *feature_quirks.QUIRKS, *table_quirks.QUIRKS,
]  # fmt: skip
_WITH_QUERIES = ("query words", "queries feature", "queries features", "queries rows")


@dataclass(frozen=True)
class Generated:
    """Files on disk, and the draft that they were written from.

    Attributes:
        repeat: one line that names the project.
    """

    draft: Draft
    paths: dict[TableName, Path]
    repeat: str


def generate(
    seed: int, writer: Format, folder: Path, quirks: Sequence[Quirk] | None = None
) -> Generated:
    """Write the files of a project.

    Args:
        seed: draws the data, and the quirks if none are given.
        quirks: applied in their order; an empty list is a tidy project.
    """
    draft = tidy_draft(seed, writer)
    for quirk in draw_quirks(draft.random, writer) if quirks is None else quirks:
        draft.applied.append(quirk.name)
        quirk.apply(draft)
    for name in ("item_key", "query_key", "time_column", "weight"):
        draft.answers.pop(name, None)
    name_answers(draft)
    paths = write_tables(draft, folder)
    return Generated(draft, paths, f"format {writer}, seed {seed}: {draft.applied or 'tidy'}")


def draw_quirks(random: np.random.Generator, writer: Format) -> list[Quirk]:
    """Draw quirks of different roles; one project in ten is tidy."""
    chosen: list[Quirk] = []
    if random.random() < 0.1:
        return chosen
    for role, share in ROLES.items():
        fitting = [quirk for quirk in QUIRKS if quirk.role == role and writer in quirk.formats]
        is_drawn = bool(random.random() < share)
        if not is_drawn or not fitting:
            continue
        if role in _WITH_QUERIES and id_quirks.NO_QUERIES in chosen:
            continue
        chosen.append(fitting[int(random.integers(len(fitting)))])
    return chosen


def quirk(name: str) -> Quirk:
    """Return the quirk of a name."""
    return next(each for each in QUIRKS if each.name == name)


if __name__ == "__main__":
    asked: Format = next(each for each in FORMATS if each == sys.argv[1])
    named = [quirk(name) for name in sys.argv[4:]]
    done = generate(int(sys.argv[2]), asked, Path(sys.argv[3]), named or None)
    print(done.repeat)
