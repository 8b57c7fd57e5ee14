"""The section about the memory: what known queries and links add to recommendations."""

from typing import Annotated, Literal

from pydantic import Field

from longtail.config.section import Fraction, NonNegativeInt, PositiveInt, Section, Unit


class MemoryConfig(Section):
    """The memory beside the model: votes of the nearest known queries, and of a query's own items.

    How much its votes count is chosen on the validation part, version by version; where it finds
    nothing more, the version has none. Embeddings and neighbours of items do not depend on it.
    """

    enabled: bool = Field(
        True,
        description="Give each version a memory. Switch it off to recommend by the model alone.",
    )
    max_tail_loss: Fraction = Field(
        0.03,
        description="Largest share of the model's tail and cold recall@10 and recall@50, on "
        "the validation part, that a memory may cost. Raise it when overall recall matters more.",
    )
    num_candidates: Annotated[PositiveInt, Unit("items")] = Field(
        500,
        description="First items of the model that the votes are mixed with. Raise it when more "
        "than 100 items are asked for at a time.",
    )
    item_weights: Annotated[NonNegativeInt, Unit("weights")] = Field(
        500,
        description="Largest number of weights that each item has to others, in a memory, 8 bytes "
        "each; 0 for no votes of items. Lower it when servers are short of memory.",
    )
    max_ease_items: Annotated[NonNegativeInt, Unit("items")] = Field(
        6_000,
        description="Items, those with the most links, that the closed form of EASE knows; 0 "
        "leaves it out. Its time grows with the cube: 6,000 take 5 s, 20,000 three minutes.",
    )
    max_queries: Annotated[PositiveInt, Unit("queries")] = Field(
        1_000_000,
        description="Largest number of queries in a memory; of more, a seeded choice. Lower it "
        "when servers are short of memory, or recommendations are too slow.",
    )
    storage: Literal["fp32", "fp16", "int8"] = Field(
        "fp32",
        description="Number format of the queries' vectors in a memory: 4, 2 or 1 byte a number. "
        "Choose another where servers are short of memory; a search takes longer.",
    )
