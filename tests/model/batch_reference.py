"""The loss of a batch, computed again from lists of values and matrices of weights.

The reference takes from a batch only the values of each cell (dropout has left them) and the
sampled items. It finds candidates, hits, births, frequencies and weights in the training set.
"""

from collections.abc import Sequence

import numpy as np

from longtail.augmentation.masks import Mask, Masks
from longtail.config import Config
from longtail.dataset.batch import Batch
from longtail.dataset.training_set import TrainingSet
from tests.dataset.small_set import MULTI_VALUED, NUM_ITEMS, SCHEMA, rows_of
from tests.dataset.streaming_loop import streaming_loop
from tests.model.loops import Candidate, Example, contrast_loss, main_loss

BATCH_SIZE = 16
Weights = dict[str, np.ndarray]


def encode(
    weights: Weights, side: str, row: list[list[int]], hidden: Sequence[bool] = (False,) * 4
) -> np.ndarray:
    """Return the vector of one row: its cells looked up, averaged and joined, then matrices."""
    parts, start = [], 0
    for cell, feature, is_hidden in zip(row, SCHEMA.side(side), hidden, strict=False):
        part = weights[f"{side}_tower.default"][start : start + feature.dim]
        if cell and not is_hidden:
            table = weights[f"embedding_bags.bags.embedding_bags.{feature.table}.weight"]
            part = sum(table[value] for value in cell) / len(cell)
        parts.append(part)
        start += feature.dim
    vector = np.concatenate(parts)
    for number, layer in enumerate(("input_layer", "layers.0", "layers.1")):
        vector = np.maximum(vector, 0) if number else vector
        weight, bias = (weights[f"{side}_tower.{layer}.{part}"] for part in ("weight", "bias"))
        vector = weight @ vector + bias
    return vector / np.sqrt((vector**2).sum())


class Reference:
    """Both loss terms of one batch, for any weights.

    Args:
        training_set: the set that the batch was built from.
        config: the configuration of model and batch.
        masks: the masks of the model.
        batch: the batch.
        examples: positions of its examples in the training part.
        counts: whether each example counts.
        world_size: number of ranks.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        config: Config,
        masks: Masks,
        batch: Batch,
        examples: np.ndarray,
        counts: np.ndarray,
        world_size: int,
    ) -> None:
        self.set, self.config, self.batch = training_set, config, batch
        self.examples, self.counts, self.world_size = examples, counts, world_size
        self.masks = [masks.mask(draw) for draw in batch.mask_draws]
        self.query_rows = rows_of(batch, "query")
        rows = rows_of(batch, "item")
        self.item_rows = rows[: batch.num_items]
        self.first_copy = rows[batch.num_items :][: batch.num_sampled]
        self.second_copy = rows[batch.num_items + batch.num_sampled :][: batch.num_sampled]
        ssl = config.self_supervision
        overlaps = ssl.augmentation in ("dropout_only", "independent_masking") or any(
            SCHEMA.item[position].name in config.correlation.never_mask for position in MULTI_VALUED
        )
        if not overlaps or not ssl.value_dropout:
            self.second_copy = self.first_copy
        self.sampled = [row[0][0] for row in self.first_copy]  # ids are rows of their table
        self.frequencies = self._frequencies()

    def _frequencies(self) -> list[float]:
        """Return how often each item is expected in a rank's batch, by the configured estimate."""
        items = [int(self.set.item_of_row[row]) for row in self.set.train.item_row]
        if self.config.loss.logq == "streaming":
            history = streaming_loop(
                items,
                NUM_ITEMS,
                global_batch=BATCH_SIZE * self.world_size,
                rate=self.config.loss.streaming_rate,
                seed=self.config.training.seed,
                num_steps=self.batch.step + 1,
            )
            return [value / self.world_size for value in history[-1]]
        return [BATCH_SIZE * items.count(item) / len(items) for item in range(NUM_ITEMS)]

    def candidate(self, item: int, vector: np.ndarray, weight: float = 1.0) -> Candidate:
        """Return an item as a candidate, with its expected count and its birth."""
        expected = None
        if self.config.loss.logq != "none":
            expected = self.frequencies[item]
            in_catalogue = [i for i in range(NUM_ITEMS) if self.set.catalogue_row[i] >= 0]
            if self.config.loss.mixed_negatives and item in in_catalogue:
                expected += len(self.sampled) / len(in_catalogue)
        always = self.config.loss.unborn_negatives
        birth = 0 if always else int(self.set.first_seen[item])
        return Candidate(item, vector, expected, weight, birth)

    def main(self, weights: Weights) -> float:
        """Return the main loss."""
        train, loss = self.set.train, self.config.loss
        # The training positives of each query, which `accidental_hits: known_positives` leaves out.
        known: dict[int, set[int]] = {}
        for query_row, item_row in zip(train.query_row, train.item_row, strict=True):
            query = int(self.set.query_of_row[query_row])
            known.setdefault(query, set()).add(int(self.set.item_of_row[item_row]))
        # Examples one by one, repeats and all: the batch has each row once, the loops do not.
        examples = []
        for n, example in enumerate(self.examples):
            item = int(self.set.item_of_row[train.item_row[example]])
            item_vector = encode(weights, "item", self.item_rows[int(self.batch.item[n])])
            hits = known[int(self.set.query_of_row[train.query_row[example]])]
            examples.append(
                Example(
                    encode(weights, "query", self.query_rows[int(self.batch.query[n])]),
                    self.candidate(item, item_vector),
                    known=frozenset(hits if loss.accidental_hits == "known_positives" else ()),
                    weight=float(train.weight[example]) * bool(self.counts[n]),
                    timestamp=int(train.timestamp[example]),
                )
            )
        sampled = [
            self.candidate(
                item,
                encode(weights, "item", row),
                1.0 if self.set.train_count[item] else loss.cold_negative_weight,
            )
            for item, row in zip(self.sampled, self.first_copy, strict=True)
        ]
        return main_loss(
            examples,
            sampled if loss.mixed_negatives else [],
            temperature=loss.temperature,
            strength=loss.logq_strength,
            correct_positive=loss.correct_positive,
            positive_is_certain=loss.logq_positive == "certain",
        )

    def self_supervised(self, weights: Weights) -> float:
        """Return the self-supervised loss, zero for an augmentation without one."""
        ssl = self.config.self_supervision
        if ssl.augmentation in ("feature_dropout", "none"):
            return 0.0
        masks = self.mask_of_item()
        first = [
            encode(weights, "item", row, mask.first)
            for row, mask in zip(self.first_copy, masks, strict=True)
        ]
        second = [
            encode(weights, "item", row, mask.second)
            for row, mask in zip(self.second_copy, masks, strict=True)
        ]
        return contrast_loss(first, second, ssl.temperature)

    def mask_of_item(self) -> list[Mask]:
        """Return the mask of each sampled item: each mask has as many, or one more."""
        shares = np.array_split(np.arange(len(self.first_copy)), len(self.masks))
        return [mask for mask, share in zip(self.masks, shares, strict=True) for _ in share]

    def total(self, weights: Weights) -> float:
        """Return the loss that is trained on."""
        ssl = self.config.self_supervision
        warmth = 1.0
        if ssl.warmup_steps > self.batch.step:
            warmth = (self.batch.step + 1) / ssl.warmup_steps
        return self.main(weights) + warmth * ssl.weight * self.self_supervised(weights)
