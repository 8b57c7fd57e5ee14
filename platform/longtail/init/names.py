"""Names that Feast, DuckDB and Python can all take."""

import re
import unicodedata
from collections.abc import Sequence

# What Feast's join and longtail's own tables call their columns.
_RESERVED = frozenset(
    (
        *("item_id", "query_id", "event_timestamp", "created_timestamp", "active", "weight"),
        *("entity_row_id", "event_expire_timestamp", "longtail_row", "first_seen", "embedding"),
        *("item", "query", "model_version"),
    )
)
PLACEHOLDER = "present"


def feature_names(columns: Sequence[str]) -> dict[str, str]:
    """A name for each column's feature: ASCII letters, digits and underscores, none twice.

    Names that are good already stay; none ends in `_y`, which Feast's DuckDB join would lose.
    """
    names: dict[str, str] = {}
    taken: set[str] = {PLACEHOLDER}
    # Those that may stay choose first.
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
    """The name without what is forbidden, not yet unique."""
    ascii_only = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    name = re.sub(r"[^0-9A-Za-z]+", "_", ascii_only).strip("_") or "feature"
    if name[0].isdigit():
        name = f"feature_{name}"
    if name.lower() in _RESERVED or name.lower().endswith("_y"):
        name = f"{name}_value"
    return name


def project_name(folder: str) -> str:
    """A name of a Feast project, from a folder's."""
    return re.sub(r"[^0-9A-Za-z]+", "_", folder).strip("_").lower() or "longtail"
