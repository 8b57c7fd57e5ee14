"""Knows the names of columns that hold times, and how sure each name is.

All names are in snake case.
"""

import re

# Best first. In items and queries a date under any other name may be a property, such as a release.
KNOWN = (
    *("event_timestamp", "timestamp", "event_time", "datetime", "time", "ts", "date", "day"),
    *("valid_from", "updated_at", "modified_at", "created_at", "occurred_at", "last_updated"),
    *("event_date", "unix_time", "unixtime", "epoch", "created", "updated", "at"),
)
# Names that can only mean when the interaction happened, best first. All others are equal, because
# `created_at` and `updated_at` say nothing about which of them it is.
_OF_EVENTS = (
    *("event_timestamp", "timestamp", "event_time", "datetime", "time", "ts", "timestamp_ms"),
    *("ts_ms", "time_ms", "epoch_ms", "unix_timestamp", "utc", "date", "day"),
)
_LAST_WORDS = frozenset(
    ("at", "time", "date", "datetime", "timestamp", "ts", "day", "epoch", "when", "utc", "unixtime")
)
_FIRST_WORDS = frozenset(("date", "datetime", "timestamp"))
_UNIT_WORDS = frozenset(
    (
        *("s", "sec", "secs", "second", "seconds", "ms", "msec", "millis", "milliseconds"),
        *("us", "micros", "microseconds", "ns", "nanos", "nanoseconds", "utc", "gmt", "local"),
    )
)
# Words that make a time a duration, such as `watch_time`.
_DURATIONS = frozenset(
    (
        *("watch", "watched", "dwell", "play", "playing", "listen", "listening", "reading", "view"),
        *("viewing", "run", "running", "lead", "wait", "waiting", "response", "elapsed", "total"),
        *("spent", "duration", "travel", "prep", "cook", "avg", "average", "mean", "num", "count"),
    )
)
# Words that make a date a property of the item or of the query, such as `release_date`.
_PROPERTIES = frozenset(
    (
        *("release", "released", "birth", "born", "dob", "publish", "published", "publication"),
        *("signup", "register", "registered", "registration", "join", "joined", "expiry", "expire"),
        *("expires", "expired", "expiration", "due", "deadline", "until", "launch", "founded"),
    )
)
_ID_WORDS = frozenset(
    (
        *("id", "key", "code", "uuid", "guid", "uid", "sku", "asin", "isbn", "ean", "upc", "gtin"),
        *("barcode", "hash", "phone", "mobile", "tel", "ip", "zip", "number", "nr", "no"),
    )
)
_SHORT = re.compile("t[a-z0-9]?|dt")


def rank_of(name: str, *, is_interaction: bool) -> int | None:
    """Return the place of a name among the names of times, 0 for the best; None: it is none."""
    words = _words(name)
    joined = "_".join(words)
    if not is_interaction:
        return KNOWN.index(joined) if joined in KNOWN else None
    if joined in _OF_EVENTS:
        return _OF_EVENTS.index(joined)
    return len(_OF_EVENTS) if joined in KNOWN or _name_a_time(words) else None


def _words(name: str) -> list[str]:
    return [word for word in re.split("[^a-z0-9]+", name) if word]


def _name_a_time(words: list[str]) -> bool:
    if not words or set(words) & _PROPERTIES:
        return False
    kept = list(words)
    while len(kept) > 1 and (kept[-1] in _UNIT_WORDS or kept[-1].isdigit()):
        kept.pop()
    if kept[-1] == "time":
        return not set(kept) & _DURATIONS
    # `time_stamp` is one word in two, and `date_added` says the same as `added_date`.
    glued = kept[-1].endswith(("timestamp", "datetime"))
    return kept[-1] in _LAST_WORDS or glued or kept[0] in _FIRST_WORDS or kept == ["time", "stamp"]


def is_property(name: str) -> bool:
    """Return whether a name says that a date is a property of something, and no event."""
    return bool(set(_words(name)) & _PROPERTIES)


def is_short(name: str) -> bool:
    """Return whether a name is a short one that people give to times, such as `t` or `dt`."""
    return _SHORT.fullmatch(name) is not None


def is_id(name: str) -> bool:
    """Return whether a name is that of an id, so that its numbers are no times."""
    return bool(set(_words(name)[-1:]) & _ID_WORDS) or name.endswith("id")
