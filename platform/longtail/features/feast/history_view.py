"""The feature view of the queries' histories, which the platform itself defines in Feast.

A repository need not declare it. It is there while `history.length` is set, and as long as a
version on disk reads histories: what is served answers on until it is replaced, or rolled back to.
"""

from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.errors import FeatureViewNotFoundException
from feast.repo_contents import RepoContents
from feast.types import Array, String

from longtail.artifacts import VersionPaths, read_json
from longtail.config import Config
from longtail.errors import InputError
from longtail.features.feast.definitions import load_definitions
from longtail.features.history_feature import HISTORY

HISTORY_VIEW = "query_history"
"""The name of the feature view."""


def histories_file(config: Config) -> Path:
    """Return the path of the view's source: the histories that were published last."""
    return config.home / "feast" / f"{HISTORY_VIEW}.parquet"


def stored_length(config: Config) -> int:
    """Return the most items that a published history needs; 0 if nothing reads histories.

    It is the configured length, or that of a committed version, if that is longer.
    """
    lengths = [config.history.length]
    for manifest in (config.home / "versions").glob("*/manifest.json"):
        file = VersionPaths(config, manifest.parent.name).config
        if file.is_file():  # a damaged version is the error of whoever serves it
            lengths.append(read_json(file).get("history", {}).get("length", 0))
    return max(lengths)


def registered_history_view(store: FeatureStore, *, cached: bool = False) -> FeatureView | None:
    """Return the view; None if it is not registered."""
    try:
        return store.get_feature_view(HISTORY_VIEW, allow_registry_cache=cached)
    except FeatureViewNotFoundException:
        return None


def restore_history_view(store: FeatureStore, config: Config) -> None:
    """Register the view again, if something reads it and a plain `feast apply` has removed it."""
    if not stored_length(config) or registered_history_view(store) is not None:
        return
    contents = load_definitions(config)
    add_history_view(contents, config)
    views = [view for view in contents.feature_views if view.name == HISTORY_VIEW]
    store.apply([*contents.projects, *contents.entities, *views])


def add_history_view(contents: RepoContents, config: Config) -> None:
    """Add the view to a repository's definitions, if something reads it.

    A repository that defines a view of this name keeps its own, and a plain `feast apply` keeps it
    too.

    Raises:
        InputError: the repository's own view does not hold histories.
    """
    if not stored_length(config):
        return
    own = next((view for view in contents.feature_views if view.name == HISTORY_VIEW), None)
    if own is not None:
        if not any(f.name == HISTORY and f.dtype == Array(String) for f in own.features):
            raise InputError(
                f"feature view `{HISTORY_VIEW}` has no field `{HISTORY}` of Array(String): "
                "longtail keeps the queries' histories in a view of this name, so rename yours, "
                "or set `history.length: 0`"
            )
        return
    # A query service that is wrong or missing is the error of whoever reads the schema.
    service = config.features.query_service
    views = {
        projection.name
        for each in contents.feature_services
        if each.name == service
        for projection in each.feature_view_projections
    }
    keys = {name for view in contents.feature_views if view.name in views for name in view.entities}
    entities = [entity for entity in contents.entities if entity.name in keys]
    if len(entities) == 1:
        contents.feature_views.append(_history_view(entities[0], config))


def _history_view(query: Entity, config: Config) -> FeatureView:
    """Define the view: one list of item ids for each query, newest first."""
    return FeatureView(
        name=HISTORY_VIEW,
        entities=[query],
        ttl=timedelta(0),  # a history holds until the next one
        schema=[
            Field(name=query.join_key, dtype=String),
            Field(name=HISTORY, dtype=Array(String), description="item ids, the newest first"),
        ],
        source=FileSource(
            name=f"{HISTORY_VIEW}_source",
            path=str(histories_file(config)),
            timestamp_field="event_timestamp",
        ),
        online=True,
        description="the newest items of each query, written by `longtail publish`",
    )
