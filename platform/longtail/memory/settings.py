"""The numbers of a memory that are chosen on the validation part."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class MemorySettings:
    """The settings of one version's memory.

    The votes have three voters: the nearest known queries, and the items that the query is linked
    with, by item kNN and by EASE^R. The queries have the share that the others leave. Versions of
    older releases have the queries alone, and no factors.

    Attributes:
        weight: the largest share of the votes in the mixture, from 0 to 1.
        num_neighbours: how many known queries vote.
        neighbour_temperature: similarities of queries are divided by it.
        prior_links: an item with this many links gets half of `weight`. An item without links gets
            no vote from anybody, so it keeps its whole share of the model.
        temperature: similarities of query and item are divided by it, as in training.
        num_candidates: the model's share is a softmax over its first items, this many.
        knn_share: the share of item kNN in the votes.
        ease_share: the share of EASE^R in the votes.
        power: the votes of items are raised to it.
        head_fraction: the share of the catalogue, those with the most links, that is head items.
        tail_factor: the mixture of an item that has links, but is no head item, is multiplied by
            it.
        cold_factor: the mixture of an item without links is multiplied by it.
    """

    weight: float
    num_neighbours: int
    neighbour_temperature: float
    prior_links: float
    temperature: float
    num_candidates: int
    knn_share: float = 0.0
    ease_share: float = 0.0
    power: float = 2.0
    head_fraction: float = 0.0
    tail_factor: float = 1.0
    cold_factor: float = 1.0

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares of the voters: known queries, item kNN, EASE^R."""
        return 1.0 - self.knn_share - self.ease_share, self.knn_share, self.ease_share

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Return the settings of a dictionary that `to_json` has made."""
        return cls(**document)
