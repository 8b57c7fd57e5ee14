"""Warm start: a refresh begins with what an earlier version has learned, value by value."""

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import torch
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.distributed.checkpoint._nested_dict import flatten_state_dict

from longtail.artifacts import VersionPaths, parse_version_day, read_json
from longtail.config import Config
from longtail.encoder.tensor_names import side_of_inputs, table_of_state
from longtail.features.schema import Feature, Schema
from longtail.features.vocabulary import Vocabulary, load_vocabularies
from longtail.training.checkpoint_files import newest_checkpoint, read_tensors, stored_tensors

log = logging.getLogger("longtail.training")


def warm_start_parent(config: Config, as_of: date) -> str | None:
    """The newest whole version of an earlier day, or None."""
    folder = config.home / "versions"
    if not folder.is_dir():
        return None
    earlier = [
        entry.name
        for entry in sorted(folder.iterdir())
        if VersionPaths(config, entry.name).committed and parse_version_day(entry.name) < as_of
    ]
    if not earlier:
        return None
    newest = max(parse_version_day(name) for name in earlier)
    same_day = [name for name in earlier if parse_version_day(name) == newest]
    return max(same_day, key=lambda name: VersionPaths(config, name).manifest.stat().st_mtime)


def warm_start(
    state: dict[str, Any],
    parent: VersionPaths,
    vocabularies: dict[str, Vocabulary],
    schema: Schema,
) -> int:
    """Copy weights and optimizer state of an earlier version into a freshly made model.

    A row of a table, and what an optimizer keeps of it, is copied by the value that it stands for:
    the row of a new value stays fresh, also where it was another value's before. So do rows that
    are free, and tensors whose shapes changed. What adagrad keeps of a row's weights is a number
    for row_wise_adagrad, their mean, and back. What a tower's first layer makes of a feature is
    copied by the feature's name: a feature may come, go, or stand elsewhere.

    Args:
        state: the live state of the new model, as `Checkpointer.state` gives it; filled in place.
        parent: the earlier version.
        vocabularies: the new ones, by table.
        schema: the new one.

    Returns:
        How many tensors were filled.
    """
    checkpoint = newest_checkpoint(parent.checkpoints)
    stored = stored_tensors(checkpoint)
    old_vocabularies = load_vocabularies(parent.vocabularies)
    old_rows = {
        table: old_row_of_new(vocabulary, old_vocabularies[table])
        for table, vocabulary in vocabularies.items()
        if table in old_vocabularies
    }
    old_schema = Schema.from_json(read_json(parent.schema))
    old_columns = {
        side: old_column_of_new(schema.side(side), old_schema.side(side))
        for side in ("query", "item")
    }
    num_filled = 0
    live, _ = flatten_state_dict(state)
    for name, tensor in live.items():
        if name not in stored or not isinstance(tensor, torch.Tensor):
            continue
        table = table_of_state(name, old_rows) if len(tensor.size()) else None
        side = side_of_inputs(name) if len(tensor.size()) else None
        if side is not None and stored[name][:-1] == tuple(tensor.shape)[:-1]:
            _copy_columns(tensor, read_tensors(checkpoint, [name])[name], old_columns[side])
            num_filled += 1
        elif table is not None:
            widths = stored[name][1:], tuple(tensor.size())[1:]
            if () not in widths and widths[0] != widths[1]:
                continue
            _copy_rows(tensor, checkpoint, name, old_rows[table])
            num_filled += 1
        elif side is None and stored[name] == tuple(tensor.shape):
            with torch.no_grad():
                tensor.copy_(read_tensors(checkpoint, [name])[name])
            num_filled += 1
    log.info("warm start from %s: %d tensors", parent.version, num_filled)
    return num_filled


def old_row_of_new(new: Vocabulary, old: Vocabulary) -> npt.NDArray[np.int64]:
    """For every row of a new table the old row of the same value, or -1."""
    if new.buckets is not None or old.buckets is not None:
        same = new.buckets == old.buckets
        return np.arange(new.num_rows) if same else np.full(new.num_rows, -1)
    rows = np.full(new.num_rows, -1, np.int64)
    if new.values.type == old.values.type:
        found = pc.index_in(new.values, value_set=old.values, skip_nulls=True)
        found = pc.fill_null(found, -1)
        rows[: len(new.values)] = found.to_numpy(zero_copy_only=False)
    return rows


def old_column_of_new(new: Sequence[Feature], old: Sequence[Feature]) -> npt.NDArray[np.int64]:
    """For every number of a tower's input the old number of the same feature, or -1."""
    place, columns = 0, {}
    for feature in old:
        columns[feature.name, feature.dim, feature.is_dense] = np.arange(place, place + feature.dim)
        place += feature.dim
    nothing = {feature.name: np.full(feature.dim, -1) for feature in new}
    return np.concatenate(
        [columns.get((f.name, f.dim, f.is_dense), nothing[f.name]) for f in new], dtype=np.int64
    )


def _copy_columns(
    tensor: torch.Tensor, old: torch.Tensor, old_columns: npt.NDArray[np.int64]
) -> None:
    source = torch.from_numpy(old_columns)
    known = source >= 0
    with torch.no_grad():
        tensor[..., known.to(tensor.device)] = old[..., source[known]].to(tensor)


def _copy_rows(
    tensor: ShardedTensor | torch.Tensor,
    checkpoint: Path,
    name: str,
    old_rows: npt.NDArray[np.int64],
) -> None:
    """Fill the rows that this rank has of a table, or of its optimizer state."""
    if isinstance(tensor, ShardedTensor):
        parts = [
            (shard.tensor, shard.metadata.shard_offsets, shard.metadata.shard_sizes)
            for shard in tensor.local_shards()
        ]
    else:  # a table that every rank holds whole
        parts = [(tensor, [0] * tensor.dim(), list(tensor.shape))]
    if not parts:
        return
    old = read_tensors(checkpoint, [name])[name]
    for part, offsets, sizes in parts:
        source = torch.from_numpy(old_rows[offsets[0] : offsets[0] + sizes[0]])
        known = source >= 0
        rows = old[source[known]]
        if part.dim() == 1 and old.dim() == 2:
            rows = rows.mean(dim=1)
        elif part.dim() == 2 and old.dim() == 1:
            rows = rows[:, None].expand(-1, sizes[1])
        elif old.dim() == 2:
            rows = rows[:, offsets[1] : offsets[1] + sizes[1]]
        with torch.no_grad():
            part[known.to(part.device)] = rows.to(part)
