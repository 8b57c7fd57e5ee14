"""The item tower's pass over a batch: where a step's mask is applied (Yao et al. 2021)."""

from typing import NamedTuple

import torch

from longtail.augmentation.masks import Mask
from longtail.dataset.batch import Batch
from longtail.dataset.candidates import padded
from longtail.model.tower_inputs import TowerInput
from longtail.model.towers import Tower, by_row


class ItemVectors(NamedTuple):
    """The item tower's unit vectors for one batch.

    Attributes:
        views: `[2 * M, output_dim]`, the first view of each of the M sampled items, then the second
            view of each; `[0, output_dim]` without a mask.
        unmasked: `[R, output_dim]`, item rows with nothing hidden: the rank's candidates in their
            order, then rows that are none.
    """

    views: torch.Tensor
    unmasked: torch.Tensor


def encode_items(tower: Tower, inputs: TowerInput, batch: Batch, mask: Mask | None) -> ItemVectors:
    """Return the vectors of the masked views and of the unmasked items.

    Args:
        tower: the item tower.
        inputs: R rows: the I items of the batch, one or two copies of the M sampled ones, which
            differ in the values dropped, and padding.
        batch: the batch.
        mask: the features that each view hides; None where there are no views.
    """
    if mask is None:
        first_layers = [tower.first(*inputs)]
    else:
        first_layers = masked_views(tower, inputs, batch, mask)
    # From here on, a masked row is a row like any other: one pass of the later layers for all.
    vectors = tower.rest(torch.cat(first_layers))
    *num_views, num_unmasked = map(len, first_layers)
    return ItemVectors(*vectors.split([sum(num_views), num_unmasked]))


def masked_views(tower: Tower, inputs: TowerInput, batch: Batch, mask: Mask) -> list[torch.Tensor]:
    """Return the first layer of the two masked views, and of the items with nothing hidden.

    A hidden feature is its learned default, in all rows of the view.

    Returns:
        The first and the second view of the sampled items, each `[M, width]`, and the unmasked
        rows, `[padded(num_candidates), width]`.
    """
    first_rows, second_rows = batch.view_rows
    candidate_rows = slice(padded(batch.num_candidates))
    if batch.num_copies == 1 and mask.is_complementary:
        # Both views are of the same rows, and no feature is hidden twice: one pass gives all three.
        return tower.first_of_views(*inputs, mask, masked=first_rows, unmasked=candidate_rows)

    features, missing = by_row(*inputs)

    def first_layer(rows: slice, hidden: tuple[bool, ...] | None) -> torch.Tensor:
        return tower.first([values[rows] for values in features], missing[rows], hidden=hidden)

    return [
        first_layer(first_rows, mask.first),
        first_layer(second_rows, mask.second),
        first_layer(candidate_rows, None),
    ]
