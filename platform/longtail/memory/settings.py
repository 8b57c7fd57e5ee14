"""The numbers of a memory that are chosen on the validation part."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class MemorySettings:
    """The settings of one version's memory.

    Attributes:
        weight: the largest share of the votes in the mixture, from 0 to 1.
        num_neighbours: how many known queries vote.
        neighbour_temperature: similarities of queries are divided by it.
        prior_links: an item with this many links gets half of `weight`. An item without links gets
            no vote from anybody, so it keeps its whole share of the model.
        temperature: similarities of query and item are divided by it, as in training.
        num_candidates: the model's share is a softmax over its first items, this many.
    """

    weight: float
    num_neighbours: int
    neighbour_temperature: float
    prior_links: float
    temperature: float
    num_candidates: int

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Return the settings of a dictionary that `to_json` has made."""
        return cls(**document)
