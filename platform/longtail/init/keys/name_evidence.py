"""Says what a column's name tells about its role: an id, an item's, a query's, or a measure."""

import re
from collections.abc import Mapping, Sequence

from longtail.init.tables.raw_tables import Role
from longtail.init.times.time_columns import snake_case

# Points of names. Each is larger than `key_columns.MARGIN`, so that a name decides where the values
# fit equally. An id's name in the table, and the role's word in it, speak for the table's column.
SAME_NAME, OWN_WORD, OTHER_WORD, ID_LIKE = 4.0, 2.0, -4.0, 0.5

# Words of columns that point to items or to queries. The name of the table's file counts as well.
_WORDS: Mapping[Role, frozenset[str]] = {
    "items": frozenset(
        (
            *("item", "items", "product", "article", "movie", "track", "song", "book", "paper"),
            *("film", "recipe", "video", "listing"),
        )
    ),
    "queries": frozenset(
        (
            *("query", "queries", "user", "customer", "session", "visitor", "member", "account"),
            *("person", "uid", "reader", "viewer", "listener", "client"),
        )
    ),
    "interactions": frozenset(),
}
_ID_WORDS = frozenset(
    ("id", "ids", "key", "code", "uuid", "guid", "uid", "asin", "isbn", "sku", "pk")
)
# Names that say "an id of this row" and not of what. On both sides they are no evidence: each table
# of a database has one.
_GENERIC = frozenset(("id", "key", "code", "uuid", "guid", "pk", "name"))
# Words of columns that measure or describe an interaction, and so identify neither side.
_MEASURES = frozenset(
    (
        *("target", "weight", "rating", "ratings", "rate", "score", "scores", "stars", "label"),
        *(
            "grade",
            "count",
            "counts",
            "cnt",
            "num",
            "n",
            "quantity",
            "qty",
            "amount",
            "total",
            "sum",
        ),
        *("price", "cost", "revenue", "value", "discount", "duration", "seconds", "minutes"),
        *("dwell", "clicks", "views", "plays", "playcount", "listens", "purchases", "rank"),
        *("position", "year", "month", "week", "weekday", "hour", "age", "latitude", "longitude"),
        *("event", "action", "type", "kind", "status", "probability", "confidence", "frequency"),
    )
)
# Two columns that name the ends of a link: the first asks, and the second is what it finds.
_DIRECTIONS = (
    *(("source", "target"), ("src", "dst"), ("from", "to"), ("citing", "cited")),
    *(("source", "destination"), ("src", "dest"), ("head", "tail"), ("subject", "object")),
)


def words_of(name: str) -> list[str]:
    """Return the words of a name: `userId` -> user, id."""
    return [word for word in re.split(r"[^a-z0-9]+", snake_case(name)) if word]


def looks_like_id(name: str) -> bool:
    """Return whether a name is that of an id, such as `sku`, `item_id` or `userid`."""
    words = words_of(name)
    return bool(words) and (words[-1] in _ID_WORDS or words[-1].endswith("id"))


def is_measure(name: str) -> bool:
    """Return whether a name is that of a weight, a rating, a count or another measure."""
    return not looks_like_id(name) and bool(_MEASURES & set(words_of(name)))


def link_ends(names: Sequence[str]) -> dict[str, Role]:
    """Return the columns that name the two ends of a link, each with its side.

    Either name alone says nothing: `source` may be a channel, and `target` a label.

    Args:
        names: the columns of the interactions.
    """
    by_word = {words[0]: name for name in names if (words := words_of(name))}
    for asks, found in _DIRECTIONS:
        if asks in by_word and found in by_word:
            return {by_word[asks]: "queries", by_word[found]: "items"}
    return {}


def score_own_name(name: str, role: Role, stem: str) -> float:
    """Return the points of a column's name in the table of items or queries.

    Args:
        stem: the name of the table's file.
    """
    score = _score_words(name, role, stem) if looks_like_id(name) else 0.0
    return ID_LIKE * looks_like_id(name) + max(score, 0.0) / 2


def score_interactions_name(name: str, role: Role, stem: str | None) -> float:
    """Return the points of a column's name in the interactions, for one of the two sides.

    Args:
        stem: the name of the side's file; None if it has no table.
    """
    return _score_words(name, role, stem) + ID_LIKE * looks_like_id(name)


def score_same_name(own: str, other: str) -> float:
    """Return the points of two equal names: the same one in the table and in the interactions."""
    same = snake_case(own) == snake_case(other)
    return SAME_NAME if same and snake_case(own) not in _GENERIC else 0.0


def _score_words(name: str, role: Role, stem: str | None) -> float:
    words = set(words_of(name))
    # `userid` and `itemid` are two words that were written as one.
    words |= {word.removesuffix("id") for word in words if len(word) > 4}
    own, other = _WORDS[role], _WORDS["queries" if role == "items" else "items"]
    if stem is not None:
        own = own | {snake_case(stem), snake_case(stem).removesuffix("s")}
    return OWN_WORD * bool(words & own) + OTHER_WORD * bool(words & (other - own))
