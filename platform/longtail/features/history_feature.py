"""The queries' history as a feature: the newest items of a query, in the items' own table."""

from dataclasses import replace

from longtail.config import HistoryConfig
from longtail.errors import InputError
from longtail.features.schema import Schema

HISTORY = "history"


def with_history(schema: Schema, config: HistoryConfig) -> Schema:
    """Return the schema with the feature `history` as the last one of the queries.

    It is a list of item ids, and shares the embedding table of the items' key. Without
    `history.length` the schema stays as it is.

    Args:
        schema: the features that the registry declares.
        config: the section `history`.

    Raises:
        InputError: a feature of the queries has that name already.
    """
    if not config.length:
        return schema
    if any(feature.name == HISTORY for feature in schema.query):
        raise InputError(
            f"query feature `{HISTORY}` has the name of the feature that `history.length` adds: "
            "rename the feature, or leave `history.length` out"
        )
    item = schema.item[0]
    history = replace(item, name=HISTORY, side="query", kind="multi", is_id=False, is_history=True)
    return replace(schema, query=(*schema.query, history))
