"""The model's schema, derived from the two FeatureServices of the Feast registry.

There is no second list of features: the model sees what a service projects. Tags on a field refine
a feature; tags on an entity refine its id, which is a feature of the model too.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from feast import FeatureStore, FeatureView, ValueType
from feast.errors import FeastObjectNotFoundException
from feast.types import Array, FeastType, Float32, Float64, Int32, Int64, String

from longtail.config import FeaturesConfig
from longtail.config.table_names import is_reserved
from longtail.errors import InputError
from longtail.features.feast.store_errors import store_failures
from longtail.features.schema import Feature, Schema, Side

Kind = Literal["single", "multi", "dense"]
DType = Literal["string", "integer", "number", "vector"]

KINDS: dict[FeastType, tuple[Kind, DType]] = {
    String: ("single", "string"),
    Int32: ("single", "integer"),
    Int64: ("single", "integer"),
    Array(String): ("multi", "string"),
    Array(Int32): ("multi", "integer"),
    Array(Int64): ("multi", "integer"),
    Float32: ("dense", "number"),
    Float64: ("dense", "number"),
    Array(Float32): ("dense", "vector"),
    Array(Float64): ("dense", "vector"),
}


def derive_schema(store: FeatureStore, config: FeaturesConfig) -> Schema:
    """Read the schema from the registry.

    Raises:
        InputError: a service or view is missing, or a feature has a type or a tag that the model
            cannot take, or features that share a table disagree. It names all problems at once.
    """
    problems: list[str] = []
    with store_failures(store.config, "registry"):
        schema = Schema(
            query=_side_features(store, config, "query", problems),
            item=_side_features(store, config, "item", problems),
        )
    if schema.query_key == schema.item_key:
        problems.append(
            f"queries and items have the same join key `{schema.item_key}`: "
            "interactions need two different columns, so rename one"
        )
    problems += _sharing_problems(schema)
    if problems:
        raise InputError(
            "the feature definitions cannot be used: " + "; ".join(problems), problems=problems
        )
    return schema


def side_view(store: FeatureStore, service: str) -> FeatureView:
    """Return the one feature view that a service takes its features from.

    Raises:
        InputError: the service or its view does not exist, or it has several views or entities.
    """
    try:
        with store_failures(store.config, "registry"):
            projections = store.get_feature_service(service).feature_view_projections
    except FeastObjectNotFoundException as error:
        raise InputError(
            f"FeatureService `{service}` is not defined in the feature repository: define it, or "
            "correct the name under `features` in the configuration"
        ) from error
    if len(projections) != 1:
        raise InputError(
            f"FeatureService `{service}` reads {len(projections)} feature views: put the features "
            "of a side into one view"
        )
    with store_failures(store.config, "registry"):
        view = store.get_feature_view(projections[0].name)
    if len(view.entities) != 1:
        raise InputError(
            f"feature view `{view.name}` has {len(view.entities)} entities: it must have exactly "
            "one, the query or the item"
        )
    return view


def _side_features(
    store: FeatureStore, config: FeaturesConfig, side: Side, problems: list[str]
) -> tuple[Feature, ...]:
    service = config.query_service if side == "query" else config.item_service
    view = side_view(store, service)
    entity = store.get_entity(view.entities[0])
    if entity.value_type != ValueType.STRING:
        problems.append(
            f"entity `{entity.name}` has value type {entity.value_type.name}: ids must be STRING, "
            "so cast the column, and declare it as STRING"
        )
    features = [_feature(side, entity.join_key, "single", "string", entity.tags, config, problems)]
    for field in store.get_feature_service(service).feature_view_projections[0].features:
        if field.dtype not in KINDS:
            problems.append(
                f"feature `{field.name}` of `{service}` is {field.dtype}: the model takes String, "
                "Int32, Int64, Float32, Float64 and arrays of them, so leave it out of the service "
                "or change its type"
            )
        else:
            kind, dtype = KINDS[field.dtype]
            features.append(_feature(side, field.name, kind, dtype, field.tags, config, problems))
    return (replace(features[0], is_id=True), *features[1:])


def _feature(
    side: Side,
    name: str,
    kind: Kind,
    dtype: DType,
    tags: Mapping[str, str],
    config: FeaturesConfig,
    problems: list[str],
) -> Feature:
    where = f"{side} feature `{name}`"
    # Feast's DuckDB join takes a column with this ending for one of its own, and drops it.
    if name.endswith("_y"):
        problems.append(f"{where}: Feast's DuckDB store loses columns that end in `_y`: rename it")
    table = tags.get("table", f"{side}_{name}")
    if not re.fullmatch(r"\w+", table):
        problems.append(
            f"{where}: its table is called {table!r}: give it a tag `table` of letters, digits "
            "and underscores"
        )
    elif is_reserved(table):
        problems.append(
            f"{where}: its table is called {table!r}, a name that torch's containers have for "
            f"themselves: give it another tag `table`, such as `{table.strip('_')}_table`"
        )
    vocabulary: Literal["exact", "hash"] = "exact"
    if tags.get("vocabulary", "exact") == "hash":
        vocabulary = "hash"
    elif tags.get("vocabulary", "exact") != "exact":
        problems.append(
            f"{where}: tag vocabulary is {tags['vocabulary']!r}: it must be `exact` or `hash`"
        )
    # A tag without effect is refused, not ignored: its author expects something of it.
    if kind == "dense":
        problems += [
            f"{where}: tag {tag} counts only for categories, and its values are numbers: remove it"
            for tag in ("vocabulary", "buckets", "min_count")
            if tag in tags
        ]
        vocabulary = "exact"
    elif "buckets" in tags and vocabulary == "exact":
        problems.append(f"{where}: tag buckets counts only with `vocabulary: hash`: add that tag")
    if "min_count" in tags and vocabulary == "hash":
        problems.append(
            f"{where}: tag min_count counts only without `vocabulary: hash`, which has no list of "
            "values: remove one of them"
        )
    min_count = _positive(tags, "min_count", config.min_count, where, problems)
    buckets = _positive(tags, "buckets", config.hash_buckets, where, problems)
    dim = _positive(tags, "dim", config.default_dim, where, problems)
    if dim % 4:
        problems.append(
            f"{where}: its embeddings have {dim} numbers: FBGEMM needs a multiple of 4, so change "
            "tag dim or `features.default_dim`"
        )
    return Feature(
        name=name,
        side=side,
        kind=kind,
        dtype=dtype,
        table=table,
        dim=dim,
        vocabulary=vocabulary,
        buckets=buckets if vocabulary == "hash" else None,
        min_count=min_count if vocabulary == "exact" and kind != "dense" else 1,
    )


def _positive(
    tags: Mapping[str, str], tag: str, default: int, where: str, problems: list[str]
) -> int:
    if tag not in tags:
        return default
    if not re.fullmatch(r"[1-9][0-9]*", tags[tag]):
        problems.append(f"{where}: tag {tag} is {tags[tag]!r}: it must be a positive whole number")
        return default
    return int(tags[tag])


def _sharing_problems(schema: Schema) -> list[str]:
    problems = [
        f"table `{table}` is shared by categories (`{schema.tables[table][0].key}`) and numbers "
        f"(`{schema.projections[table][0].key}`): give one of them its own tag `table`"
        for table in schema.tables.keys() & schema.projections.keys()
    ]
    shared = [*schema.tables.items(), *schema.projections.items()]
    for table, (first, *others) in shared:
        for other in others:
            for name in ("dtype", "dim", "vocabulary", "buckets", "min_count"):
                one, two = getattr(first, name), getattr(other, name)
                if one != two:
                    problems.append(
                        f"features `{first.key}` and `{other.key}` share table `{table}` but "
                        f"their {name} is {one} and {two}: make them equal, or give one its own "
                        "tag `table`"
                    )
    return problems
