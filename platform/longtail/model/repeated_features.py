"""Features whose rows share cells, and what the cells add to a tower's first layer."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from longtail.model.kernels.repeated_cells import cell_of_row, sum_of_cells

Features = Sequence[torch.Tensor]


class Repeated(NamedTuple):
    """A feature of B rows that share U cells: each cell goes through the first layer once.

    Attributes:
        values: `[U, dim]`, zero for a cell without a value.
        missing: `[U]`, 1 where the cell has no value, else 0.
        of_row: `[B]` int64, the cell of each row.
        rows: int64, the rows that count, ordered by cell; the gradients of the others are zero.
        starts: `[U]` int64, where the rows of each cell start in `rows`.
    """

    values: torch.Tensor
    missing: torch.Tensor
    of_row: torch.Tensor
    rows: torch.Tensor
    starts: torch.Tensor


# Each feature as `[B, dim]`, zero where it has no value, or as the cells that its rows share.
Inputs = Sequence[torch.Tensor | Repeated]


def by_row(pooled: Inputs, missing: torch.Tensor) -> tuple[Features, torch.Tensor]:
    """Return the same inputs of a tower without repeated cells.

    Args:
        pooled, missing: see `Tower.forward`.

    Returns:
        F features `[B, dim]`, and `[B, F]`, 1 where a feature has no value.
    """
    features, absent = [], list(missing.unbind(dim=1))
    for position, feature in enumerate(pooled):
        if isinstance(feature, Repeated):
            features.append(
                cell_of_row(feature.values, feature.of_row, feature.rows, feature.starts)
            )
            absent[position] = feature.missing[feature.of_row]
        else:
            features.append(feature)
    return features, torch.stack(absent, dim=1)


def parts_of_cells(
    weight: torch.Tensor,
    columns: Mapping[int, slice],
    default: torch.Tensor,
    cells: Mapping[int, Repeated],
    sizes: Sequence[int],
    part_of: Sequence[Sequence[int | None]],
    num_parts: int,
) -> tuple[torch.Tensor, ...]:
    """Return what features with repeated cells add to each part of a first layer.

    Each cell goes through the layer once, whatever parts its rows are in.

    Args:
        weight: `[width, in]`, the weight of the layer.
        columns: the columns among the `in` that belong to each feature, by position.
        default: `[in]`, the learned defaults of all features.
        cells: the features, by position.
        sizes: the number of rows of each group; the groups are all B rows, in order.
        part_of: by group, the part that each feature belongs to, by position.
        num_parts: P.

    Returns:
        P tensors `[B, width]`.
    """
    num_rows = sum(sizes)
    # The kernel numbers the cells of all features one after another, and so their rows.
    first_cell, first_row, of_row, rows, starts = 0, 0, {}, [], []
    for position, feature in cells.items():
        of_row[position] = (feature.of_row + first_cell).split([*sizes])
        rows.append(_rows_of_parts(feature.rows, sizes, [own[position] for own in part_of]))
        starts.append(feature.starts + first_row)
        first_cell += len(feature.starts)
        first_row += len(feature.rows)

    # Row after row, the cells of the features that belong to its part in its group.
    bags, offsets, end = [], [], 0
    for part in range(num_parts):
        for group, size in enumerate(sizes):
            chosen = [of_row[p][group] for p in cells if part_of[group][p] == part]
            bags += [torch.stack(chosen, dim=1)] if chosen else []
            offsets.append(torch.arange(size, device=weight.device) * len(chosen) + end)
            end += size * len(chosen)
    every_row_has_all = num_parts == len(sizes) == 1
    total = sum_of_cells(
        weight,
        [columns[position] for position in cells],
        bags[0] if every_row_has_all else torch.cat([bag.flatten() for bag in bags]),
        torch.cat(rows),
        torch.cat(starts),
        [
            torch.addr(f.values, f.missing, default[columns[p]].to(f.values.dtype))
            for p, f in cells.items()
        ],
        None if every_row_has_all else torch.cat(offsets),
    )
    parts: tuple[torch.Tensor, ...] = total.split(num_rows)
    return parts


def _rows_of_parts(
    rows: torch.Tensor, sizes: Sequence[int], parts: Sequence[int | None]
) -> torch.Tensor:
    """Return the places of a feature's rows where the B rows of all parts follow one another.

    Args:
        rows: int64, the rows.
        sizes: the number of rows of each group.
        parts: the part that the feature belongs to in each group.
    """
    shifts = [sum(sizes) * (part or 0) for part in parts]
    if len(set(shifts)) == 1:
        return rows + shifts[0]
    of_row = [rows.new_full((size,), n) for size, n in zip(sizes, shifts, strict=True)]
    return rows + torch.cat(of_row)[rows]
