"""Quirks of the column that says which items are gone."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tests.init.files.draft import PARQUET, Column, Draft, Format, Quirk

ALL: tuple[Format, ...] = (*PARQUET, "csv")
# By spelling: the values for yes and no, the type, and the formats that tell them apart.
SPELLINGS: dict[str, tuple[Any, Any, pa.DataType, tuple[Format, ...]]] = {
    "booleans": (True, False, pa.bool_(), ALL),
    "true, false": ("true", "false", pa.string(), ALL),
    "True, False": ("True", "False", pa.string(), ALL),
    "TRUE, FALSE": ("TRUE", "FALSE", pa.string(), ALL),
    "Y, N": ("Y", "N", pa.string(), ALL),
    "y, n": ("y", "n", pa.string(), ALL),
    "yes, no": ("yes", "no", pa.string(), ALL),
    "Yes, No": ("Yes", "No", pa.string(), ALL),
    "t, f": ("t", "f", pa.string(), ALL),
    "T, F": ("T", "F", pa.string(), ALL),
    "1, 0": (1, 0, pa.int64(), ALL),
    "1, 0 in text": ("1", "0", pa.string(), PARQUET),
    "1, 0 of 8 bits": (1, 0, pa.int8(), PARQUET),
    "1.0, 0.0": (1.0, 0.0, pa.float64(), ALL),
}
# By name: whether yes means that the item is gone.
NAMES = {
    "active": False, "is_active": False, "isActive": False, "Active": False,
    "deleted": True, "is_deleted": True, "isDeleted": True,
}  # fmt: skip
# Names that say it less plainly: a warning that names the column is enough.
LESS_PLAIN = {"available": False, "enabled": False, "removed": True, "archived": True}


def _gone(draft: Draft) -> list[bool]:
    """Draw the items that are gone, about one in ten, and never all of a group."""
    return [bool(gone) for gone in draft.random.random(draft.num_rows("items")) < 0.1]


def _flag(draft: Draft, name: str, spelling: str, *, means_gone: bool) -> None:
    yes, no, kind, _ = SPELLINGS[spelling]
    gone = _gone(draft)
    values = [yes if is_gone == means_gone else no for is_gone in gone]
    draft.tables["items"].append(Column(name, values, kind, "gone", name, gone))


def _any_name(names: dict[str, bool], spelling: str) -> Callable[[Draft], None]:
    def apply(draft: Draft) -> None:
        name = list(names)[int(draft.random.integers(len(names)))]
        draft.applied[-1] += f" {name}"
        _flag(draft, name, spelling, means_gone=names[name])

    return apply


def _moments(draft: Draft, make: Callable[[int], Any], kind: pa.DataType) -> None:
    gone = _gone(draft)
    values: Sequence[Any] = [make(n) if is_gone else None for n, is_gone in enumerate(gone)]
    draft.tables["items"].append(Column("deleted_at", values, kind, "gone", "deleted_at", gone))


def _with_gaps(draft: Draft) -> None:
    gone = _gone(draft)
    values = [False if is_gone else (None if n % 9 == 0 else True) for n, is_gone in
              enumerate(gone)]  # fmt: skip
    draft.tables["items"].append(Column("active", values, pa.bool_(), "gone", "active", gone))
    draft.excuse("active")


QUIRKS = [
    *(
        Quirk(f"gone: {name} {spelling}", "gone",
              lambda draft, name=name, spelling=spelling: _flag(
                  draft, name, spelling, means_gone=NAMES[name]),
              SPELLINGS[spelling][3])
        for spelling in SPELLINGS for name in ("active", "deleted")
    ),
    *(
        Quirk(f"gone: {spelling} of", "gone", _any_name(NAMES, spelling), SPELLINGS[spelling][3])
        for spelling in ("booleans", "True, False", "1, 0")
    ),
    *(
        Quirk(f"gone: {name}", "gone",
              lambda draft, name=name: _flag(
                  draft, name, "booleans", means_gone={**NAMES, **LESS_PLAIN}[name]))
        for name in [*list(NAMES)[1:], *LESS_PLAIN]
    ),
    Quirk("gone: deleted_at", "gone", lambda draft: _moments(
        draft, lambda n: datetime(2023, 1 + n % 12, 2, tzinfo=UTC), pa.timestamp("us", "UTC"))),
    Quirk("gone: deleted_at days in text", "gone", lambda draft: _moments(
        draft, lambda n: f"2023-{1 + n % 12:02d}-02", pa.string())),
    Quirk("gone: deleted_at seconds", "gone", lambda draft: _moments(
        draft, lambda n: 1_680_000_000 + n, pa.int64())),
    Quirk("gone: active with gaps", "gone", _with_gaps),
]  # fmt: skip
