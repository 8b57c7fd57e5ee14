"""Online query features that the definitions no longer offer, and that a version still reads.

A feature is taken out of the definitions long before a version without it is served, and a rollback
may serve one with it again. Its values stay in the online store. So the record of what is online
says which view holds each feature. The view stays in the registry for as long, and a reader finds
the feature there.
"""

from collections.abc import Iterable
from typing import Any

from feast import FeatureView

from longtail.artifacts import read_json
from longtail.config import Config


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
