"""Warm start: a refresh takes over what an earlier version has learned, value by value."""

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
from longtail.training.checkpoint_files import (
    checkpoint_folder,
    newest_checkpoint,
    read_tensors,
    stored_tensors,
)

log = logging.getLogger("longtail.training")


def warm_start_parent(config: Config, as_of: date) -> str | None:
    """Return the newest whole version of an earlier day, or None."""
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
    # The names of one day's versions end in hashes, so the time of the manifest decides.
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

    - Rows of tables, with their optimizer state, are copied by the value that they stand for. The
      row of a new value stays fresh, even if another value had that row before. So do free rows.
    - The weights of a tower's first layer are copied by the name of the input feature. A feature
      may be new, gone, or at another place.
    - Other tensors are copied if their shape is the same, and stay fresh if not. A bias that the
      earlier version did not have stays zero.
    - The optimizer may have changed. Adagrad's state of a row, one number a weight, becomes their
      mean for row_wise_adagrad. The other way round, every weight gets the row's number.

    Args:
        state: the live state of the new model, as `Checkpointer.state` returns it. It is filled in
            place.
        parent: the paths of the earlier version.
        vocabularies: the new vocabularies, by table.
        schema: the new schema.

    Returns:
        The number of tensors that were filled.
    """
    # First find, for each table row and each tower input, the place that it had before.
    checkpoint = _model_checkpoint(parent)
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
    # Then fill the live tensors, each in the way that fits its name.
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
            # Optimizer state may have one number a row, and then no width. Two widths must agree.
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


def _model_checkpoint(parent: VersionPaths) -> Path:
    """Return the checkpoint that became an earlier version's model; of several, the last one.

    After early stopping it is not the newest one, which has trained for longer than was good.
    """
    result = read_json(parent.training) if parent.training.is_file() else {}
    steps = result.get("model_steps")  # a version of an earlier release does not say
    if not steps:
        return newest_checkpoint(parent.checkpoints)
    return checkpoint_folder(parent.checkpoints, steps[-1])


def old_row_of_new(new: Vocabulary, old: Vocabulary) -> npt.NDArray[np.int64]:
    """Return, for every row of a new table, the old row of the same value, or -1: `[rows]`."""
    # A hashed table has no values. Its rows mean the same if it has the same number of buckets.
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
    """Return, for every column of a tower's input, the old column of the same feature, or -1.

    A feature is the same if its name, its width and whether it is dense are the same.

    Returns:
        `[input width]`, int64.
    """
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
    """Fill the columns of a tower's first layer that an earlier version had."""
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
    """Fill this rank's rows of a table, or of its optimizer state."""
    if isinstance(tensor, ShardedTensor):
        parts = [
            (shard.tensor, shard.metadata.shard_offsets, shard.metadata.shard_sizes)
            for shard in tensor.local_shards()
        ]
    else:  # every rank holds the whole table
        parts = [(tensor, [0] * tensor.dim(), list(tensor.shape))]
    if not parts:
        return
    old = read_tensors(checkpoint, [name])[name]
    for part, offsets, sizes in parts:
        source = torch.from_numpy(old_rows[offsets[0] : offsets[0] + sizes[0]])
        known = source >= 0
        rows = old[source[known]]
        # From one number a weight to one a row, and back. Else take this shard's columns.
        if part.dim() == 1 and old.dim() == 2:
            rows = rows.mean(dim=1)
        elif part.dim() == 2 and old.dim() == 1:
            rows = rows[:, None].expand(-1, sizes[1])
        elif old.dim() == 2:
            rows = rows[:, offsets[1] : offsets[1] + sizes[1]]
        with torch.no_grad():
            part[known.to(part.device)] = rows.to(part)
