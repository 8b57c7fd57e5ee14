"""Makes names that Feast, DuckDB and Python all accept."""

import re
import unicodedata
from collections.abc import Sequence

# Column names that Feast's join and longtail's own tables use.
_RESERVED = frozenset(
    (
        *("item_id", "query_id", "event_timestamp", "created_timestamp", "active", "weight"),
        *("entity_row_id", "event_expire_timestamp", "longtail_row", "first_seen", "embedding"),
        *("item", "query", "model_version"),
    )
)
# The feature of a side that has no other: Feast requires one in every view.
PLACEHOLDER = "present"


def feature_names(columns: Sequence[str]) -> dict[str, str]:
    """Return a name for each column's feature: unique, of ASCII letters, digits and underscores.

    A name that is valid already stays. No name ends in `_y`, since Feast's DuckDB join would drop
    such a column.
    """
    names: dict[str, str] = {}
    taken: set[str] = {PLACEHOLDER}
    # Valid names come first, so that no changed name can take theirs.
    for column in sorted(columns, key=lambda column: _plain(column) != column):
        name = unique = _plain(column)
        number = 2
        while unique.lower() in taken:
            unique = f"{name}_{number}"
            number += 1
        taken.add(unique.lower())
        names[column] = unique
    return {column: names[column] for column in columns}


def _plain(column: str) -> str:
    """Return a valid name for a column, which another column may have too."""
    ascii_only = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    name = re.sub(r"[^0-9A-Za-z]+", "_", ascii_only).strip("_") or "feature"
    if name[0].isdigit():
        name = f"feature_{name}"
    if name.lower() in _RESERVED or name.lower().endswith("_y"):
        name = f"{name}_value"
    return name


def project_name(folder: str) -> str:
    """Return a valid name of a Feast project, made from the name of a folder."""
    return re.sub(r"[^0-9A-Za-z]+", "_", folder).strip("_").lower() or "longtail"
