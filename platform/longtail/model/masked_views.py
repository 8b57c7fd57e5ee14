"""The item tower's pass over a batch: where a step's masks are applied (Yao et al. 2021)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from longtail.augmentation.masks import Mask
from longtail.dataset.batch import Batch
from longtail.dataset.candidates import padded
from longtail.model.repeated_features import by_row
from longtail.model.tower_inputs import TowerInput
from longtail.model.towers import Tower


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


def encode_items(
    tower: Tower, inputs: TowerInput, batch: Batch, masks: Sequence[Mask] | None
) -> ItemVectors:
    """Return the vectors of the masked views and of the unmasked items.

    Args:
        tower: the item tower.
        inputs: R rows: the I items of the batch, one or two copies of the M sampled ones, which
            differ in the values dropped, and padding.
        batch: the batch.
        masks: the features that each view hides, by group of sampled items; None where there are
            no views.
    """
    if masks is None:
        first_layers = [tower.first(*inputs)]
    else:
        first_layers = masked_views(tower, inputs, batch, masks)
    # From here on, a masked row is a row like any other: one pass of the later layers for all.
    vectors = tower.rest(torch.cat(first_layers))
    *num_views, num_unmasked = map(len, first_layers)
    return ItemVectors(*vectors.split([sum(num_views), num_unmasked]))


def masked_views(
    tower: Tower, inputs: TowerInput, batch: Batch, masks: Sequence[Mask]
) -> list[torch.Tensor]:
    """Return the first layer of the two masked views, and of the items with nothing hidden.

    A hidden feature is its learned default, in all rows of a view that have the same mask.

    Args:
        tower, inputs, batch: see `encode_items`.
        masks: each is that of an equal share of the sampled items, in their order.

    Returns:
        The first and the second view of the sampled items, each `[M, width]`, and the unmasked
        rows, `[padded(num_candidates), width]`.
    """
    first_rows, second_rows = batch.view_rows
    candidate_rows = slice(padded(batch.num_candidates))
    sizes = group_sizes(batch.num_sampled, len(masks))
    # A batch may have fewer sampled items than masks: the catalogue can be that small.
    masks = masks[: len(sizes)]
    if batch.num_copies == 1 and all(mask.is_complementary for mask in masks):
        # Both views are of the same rows, and no feature is hidden twice: one pass gives all three.
        # The rows before and after the sampled ones have views, too, which nothing reads.
        sizes[0] += first_rows.start
        sizes[-1] += len(inputs.missing) - first_rows.stop
        return tower.first_of_views(
            *inputs, masks, sizes, masked=first_rows, unmasked=candidate_rows
        )

    features, missing = by_row(*inputs)

    def first_layer(rows: slice, hidden: Sequence[tuple[bool, ...]]) -> torch.Tensor:
        shown = [values[rows] for values in features]
        return tower.first_by_group(shown, missing[rows], hidden, sizes)

    return [
        first_layer(first_rows, [mask.first for mask in masks]),
        first_layer(second_rows, [mask.second for mask in masks]),
        tower.first([values[candidate_rows] for values in features], missing[candidate_rows]),
    ]


def group_sizes(num_sampled: int, num_masks: int) -> list[int]:
    """Return how many of the sampled items have each mask: as equal as possible, none empty.

    Args:
        num_sampled: M.
        num_masks: of the step, one or more. With fewer items than masks, each item has its own.
    """
    num_groups = max(1, min(num_sampled, num_masks))
    least, more = divmod(num_sampled, num_groups)
    return [least + (group < more) for group in range(num_groups)]
