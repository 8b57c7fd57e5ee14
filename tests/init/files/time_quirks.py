"""Quirks of times: how moments are stored and spelled, in the interactions and in the items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from tests.init.files.draft import PARQUET, Column, Draft, Format, Quirk
from tests.init.files.tidy import name_answers

ALL: tuple[Format, ...] = (*PARQUET, "csv")
Moments = list[datetime]


@dataclass(frozen=True)
class Kind:
    """One way to store moments.

    Attributes:
        values: the stored values of moments.
        type: their Arrow type.
        snap: changes the moments, so that this way can hold them; None: seconds stay as they are.
        refused: init may refuse them, even under a known name.
        required: it must, or ask.
        format: the answer to the question.
    """

    values: Callable[[Moments], Sequence[Any]]
    type: pa.DataType
    snap: Callable[[datetime], datetime] | None = None
    refused: bool = False
    required: bool = False
    format: str | None = None
    formats: tuple[Format, ...] = ALL


def _epoch(scale: int, kind: pa.DataType | None = None, **more: Any) -> Kind:
    return Kind(
        lambda moments: [round(m.timestamp() * scale) for m in moments], kind or pa.int64(), **more
    )


def _text(pattern: str, **more: Any) -> Kind:
    return Kind(lambda moments: [m.strftime(pattern) for m in moments], pa.string(), **more)


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0)


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0)


def _ambiguous(moment: datetime) -> datetime:
    return moment.replace(day=1 + moment.day % 12, second=0)


def _ambiguous_day(moment: datetime) -> datetime:
    return _day(_ambiguous(moment))


def _nineties(moment: datetime) -> datetime:
    return moment.replace(year=moment.year - 26, day=min(moment.day, 28))


def _mixed(moments: Moments) -> list[int]:
    return [round(m.timestamp()) * (1000 if n % 7 == 0 else 1) for n, m in enumerate(moments)]


def _excel(moments: Moments) -> list[float]:
    return [(m - datetime(1899, 12, 30, tzinfo=UTC)) / timedelta(days=1) for m in moments]


def _naive(moments: Moments) -> Moments:
    return [moment.replace(tzinfo=None) for moment in moments]


def _same(moments: Moments) -> Moments:
    return moments


_OFFSET = ZoneInfo("Asia/Tokyo")
KINDS: dict[str, Kind] = {
    "us in UTC": Kind(_same, pa.timestamp("us", "UTC")),
    "ns without zone": Kind(_naive, pa.timestamp("ns")),
    "ms without zone": Kind(_naive, pa.timestamp("ms"), formats=PARQUET),
    "us in Tokyo": Kind(_same, pa.timestamp("us", "Asia/Tokyo"), formats=("pandas", "arrow")),
    "days": Kind(lambda moments: [m.date() for m in moments], pa.date32(), _day),
    "ISO": _text("%Y-%m-%d %H:%M:%S"),
    "ISO with T": _text("%Y-%m-%dT%H:%M:%SZ"),
    "ISO with fraction": _text("%Y-%m-%dT%H:%M:%S.250000"),
    "ISO with offset": Kind(
        lambda moments: [m.astimezone(_OFFSET).isoformat() for m in moments], pa.string()
    ),
    "ISO minutes": _text("%Y-%m-%d %H:%M", snap=_minute),
    "ISO days": _text("%Y-%m-%d", snap=_day),
    "seconds": _epoch(1),
    "int32 seconds": _epoch(1, pa.int32(), formats=PARQUET),
    "milliseconds": _epoch(1000),
    "microseconds": _epoch(10**6),
    "nanoseconds": _epoch(10**9),
    "float seconds": Kind(lambda ms: [m.timestamp() for m in ms], pa.float64()),
    "float seconds with fraction": Kind(
        lambda ms: [m.timestamp() + 0.123456 for m in ms], pa.float64()
    ),
    "text of seconds": Kind(lambda ms: [str(round(m.timestamp())) for m in ms], pa.string()),
    "seconds of the nineties": _epoch(1, snap=_nineties),
    "milliseconds of the nineties": _epoch(1000, snap=_nineties),
    "20240305": Kind(lambda ms: [int(m.strftime("%Y%m%d")) for m in ms], pa.int64(), _day),
    "20240305 in text": _text("%Y%m%d", snap=_day),
    "20240305T101500": _text("%Y%m%dT%H%M%S", refused=True),
    "slashes, year first": _text("%Y/%m/%d %H:%M:%S"),
    "slashes, day first": _text("%d/%m/%Y %H:%M", snap=_minute),
    "slashes, month first": _text("%m/%d/%Y %H:%M", snap=_minute),
    "slashes, days, day first": _text("%d/%m/%Y", snap=_day),
    "dots, day first": _text("%d.%m.%Y %H:%M:%S"),
    "dashes, day first": _text("%d-%m-%Y", snap=_day),
    "slashes, ambiguous, day first": _text(
        "%d/%m/%Y %H:%M", snap=_ambiguous, required=True, format="%d/%m/%Y %H:%M"
    ),
    "slashes, ambiguous, month first": _text(
        "%m/%d/%Y %H:%M", snap=_ambiguous, required=True, format="%m/%d/%Y %H:%M"
    ),
    "slashes, ambiguous days": _text(
        "%d/%m/%Y", snap=_ambiguous_day, required=True, format="%d/%m/%Y"
    ),
    "two-digit years": _text("%d/%m/%y", snap=_day, refused=True, format="%d/%m/%y"),
    "12 hours": _text("%Y-%m-%d %I:%M:%S %p"),
    "12 hours, month first": _text("%m/%d/%Y %I:%M:%S %p"),
    "RFC 2822": Kind(lambda ms: [format_datetime(m) for m in ms], pa.string()),
    "month names": _text("%d %B %Y %H:%M:%S", refused=True, format="%d %B %Y %H:%M:%S"),
    "short month names": _text("%d-%b-%Y", snap=_day, refused=True, format="%d-%b-%Y"),
    "month names first": _text("%B %d, %Y", snap=_day, refused=True, format="%B %d, %Y"),
    "seconds and milliseconds mixed": Kind(_mixed, pa.int64(), refused=True),
    "Excel's serial numbers": Kind(_excel, pa.float64(), refused=True),
    "ISO with UTC behind": _text("%Y-%m-%d %H:%M:%S UTC"),
}
KNOWN, UNKNOWN = ("timestamp", "ts", "created_at", "event_time"), ("t", "when", "purchased", "at2")


def _set_times(draft: Draft, kind: Kind, name: str, *, known: bool) -> None:
    """Store the interactions' times in another way, under a name."""
    column = draft.column("interactions", "time")
    assert column.truth is not None
    moments = [kind.snap(moment) if kind.snap else moment for moment in column.truth]
    column.values, column.type, column.truth = kind.values(moments), kind.type, moments
    column.name = name
    name_answers(draft)
    if kind.format:
        draft.answers.setdefault("time_format", []).append(kind.format)
    if kind.refused or kind.required or not known:
        cure = {"time_format": kind.format} if kind.format else {}
        draft.excuse(name, required=kind.required, cure={"time_column": name, **cure})


def _set_item_times(draft: Draft, kind: Kind, name: str) -> None:
    """Give the items the day on which each was added: before all interactions."""
    times = draft.find("interactions", "time")
    first = min(times.truth) if times else datetime(2023, 1, 1, tzinfo=UTC)  # type: ignore[type-var, arg-type]
    steps = draft.random.integers(40 * 86_400, 300 * 86_400, draft.num_rows("items")).tolist()
    moments = [(first - timedelta(seconds=step)).replace(microsecond=0) for step in steps]
    moments = [kind.snap(moment) if kind.snap else moment for moment in moments]
    values = kind.values(moments)
    draft.tables["items"].append(Column(name, values, kind.type, "time", "moment", moments))
    if kind.format:
        draft.answers.setdefault("time_format", []).append(kind.format)
    if kind.refused or kind.required:
        cure = {"time_format": kind.format} if kind.format else {}
        draft.excuse(name, required=kind.required, cure=cure)


def _no_times(draft: Draft) -> None:
    column = draft.column("interactions", "time")
    draft.tables["interactions"].remove(column)
    draft.answers.pop("time_column", None)


def _missing(draft: Draft) -> None:
    column = draft.column("interactions", "time")
    column.values = [None if n % 50 == 7 else value for n, value in enumerate(column.values)]
    draft.excuse(column.name, required=True)


def _unreadable(draft: Draft) -> None:
    column = draft.column("interactions", "time")
    column.values = [f"week {n % 40} of 2023" for n in range(len(column.values))]
    column.type, column.truth = pa.string(), None
    draft.excuse(column.name, required=True)


def _release(draft: Draft) -> None:
    """Give the items a date that is a property of theirs, not the time of the row."""
    days = [datetime(1990 + n % 30, 1 + n % 12, 1, tzinfo=UTC).date()
            for n in range(draft.num_rows("items"))]  # fmt: skip
    draft.tables["items"].append(Column("released", days, pa.date32(), "other"))


QUIRKS = [
    *(
        Quirk(f"time: {name}", "times",
              lambda draft, kind=kind: _set_times(
                  draft, kind, KNOWN[int(draft.random.integers(len(KNOWN)))], known=True),
              kind.formats)
        for name, kind in KINDS.items()
    ),
    *(
        Quirk(f"time under a name of its own: {name}", "times",
              lambda draft, kind=kind: _set_times(
                  draft, kind, UNKNOWN[int(draft.random.integers(len(UNKNOWN)))], known=False),
              kind.formats)
        for name, kind in KINDS.items()
    ),
    *(
        Quirk(f"items' time: {name}", "item times",
              lambda draft, kind=kind: _set_item_times(
                  draft, kind, ("updated_at", "created_at", "timestamp")[draft.random.integers(3)]),
              kind.formats)
        for name, kind in KINDS.items() if "mixed" not in name
    ),
    Quirk("no times", "times", _no_times),
    Quirk("times missing", "times", _missing),
    Quirk("times that nobody can read", "times", _unreadable),
    Quirk("items have a date of their own", "dates", _release),
]  # fmt: skip
