"""Online query features that the definitions no longer offer, and that a version still reads.

A feature is taken out of the definitions long before a version without it is served, and a rollback
may serve one with it again. Its values stay in the online store. So the record of what is online
says which view holds each feature. The view stays in the registry for as long, and a reader finds
the feature there.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from feast import FeatureView
from feast.errors import FeatureViewNotFoundException
from feast.type_map import feast_value_type_to_python_type

from longtail.artifacts import read_json
from longtail.config import Config
from longtail.features.feast.embedding_slots import entity_keys
from longtail.features.feast.online_connection import OpenStore


def views_of_features(config: Config) -> dict[str, str]:
    """Return the view that holds each online query feature, as the last publication recorded it."""
    record = config.home / "online_queries.json"
    views: dict[str, str] = read_json(record).get("views", {}) if record.is_file() else {}
    return views


def without_those_in_use(config: Config, to_delete: Iterable[Any]) -> list[Any]:
    """Return the objects that `feast apply` may delete: not the views of online query features.

    Args:
        config: the project.
        to_delete: Feast objects that are registered and no longer defined.
    """
    objects = list(to_delete)
    in_use = set(views_of_features(config).values())
    views = [each for each in objects if isinstance(each, FeatureView) and each.name in in_use]
    # A view is of no use without its entity and its source.
    names = {name for view in views for name in [view.name, *view.entities]}
    names |= {view.batch_source.name for view in views if view.batch_source is not None}
    return [each for each in objects if each.name not in names]


def read_left_behind(
    opened: OpenStore,
    *,
    queries: Sequence[str],
    name: str,
    recorded: str | None,
    views: Sequence[str],
) -> list[Any] | None:
    """Return the values of a feature that the service does not offer; None if no view has it.

    Args:
        opened: the open store.
        queries: `[n]` query keys.
        name: the feature.
        recorded: the view that holds it, as the last publication recorded it. A record of an
            earlier release has none.
        views: the views to look in, if there is no such record.

    Returns:
        `[n]` values, None where a query has none.
    """
    for each in views if recorded is None else [recorded]:
        try:
            view = opened.store.get_feature_view(each, allow_registry_cache=True)
        except FeatureViewNotFoundException:
            continue
        keys = entity_keys(view, list(queries))
        with opened.one_read:
            rows = opened.provider.online_read(opened.store.config, view, keys, [name])
        values = [(row or {}).get(name) for _, row in rows]
        if recorded is not None or any(value is not None for value in values):
            return [value and feast_value_type_to_python_type(value) for value in values]
    return None
