"""The entities: the query, a package that asks, and the item, a package that is ranked.

An entity's id is itself a feature of the model, and the entity's tags refine it as a field's tags
refine a field. Here both are Debian packages, so both ids share the embedding table `package`: one
package may ask for others, and be asked for by others.
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
