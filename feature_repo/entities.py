"""What asks, and what is ranked.

An entity's id is itself a feature of the model; the entity's tags refine it as a field's tags
refine a field. Here both are Debian packages, so both ids share the embedding table `package`:
the package that asks and the package that it depends on are the same thing.
"""

from feast import Entity, ValueType

item = Entity(
    name="item",
    join_keys=["item_id"],
    value_type=ValueType.STRING,
    description="a package that others depend on, recommend or suggest",
    tags={"table": "package"},
)

query = Entity(
    name="query",
    join_keys=["query_id"],
    value_type=ValueType.STRING,
    description="a package that needs others",
    tags={"table": "package"},
)
