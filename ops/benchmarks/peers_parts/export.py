"""What the peers read: our training set as arrays that need nothing of ours to be read."""

import json
import sys
from pathlib import Path

import numpy as np
from training.work import Work

from longtail.evaluation.held_out import HeldOut, held_out_pairs
from longtail.features.encoding import offsets_of


def export(work: Work, batch_size: int, folder: Path) -> HeldOut:
    """Write `data.npz` and `settings.json`.

    The arrays: of each feature `<key>.values` `[nnz]` int32 table rows and `<key>.offsets`
    `[rows + 1]` int64 over all encoded rows of its side; `train_query` and `train_item` `[n]` int32
    rows of the training examples; `query_of_row` and `item_of_row` int32 ids of the rows;
    `item_share` `[items]` float32 of the training examples; `asked_query` and `asked_item`, the
    rows whose vectors the test part's questions need.

    Args:
        work: what to train on.
        batch_size: examples a step.
        folder: exists.

    Returns:
        The questions of the test part.
    """
    data, config = work.training_set, work.config
    if data.schema.projections:
        sys.exit("peers: dense features are not exported; compare without them")
    arrays = {
        "train_query": data.train.query_row,
        "train_item": data.train.item_row,
        "query_of_row": data.query_of_row,
        "item_of_row": data.item_of_row,
        "item_share": (data.train_count / data.train_count.sum()).astype(np.float32),
    }
    for features, rows in (
        (data.schema.query, data.query_rows),
        (data.schema.item, data.item_rows),
    ):
        values, lengths = rows.columns(np.arange(rows.num_rows))
        ends = offsets_of(lengths.sum(axis=1))
        for position, feature in enumerate(features):
            arrays[f"{feature.key}.values"] = values[ends[position] : ends[position + 1]]
            arrays[f"{feature.key}.offsets"] = offsets_of(lengths[position])
    questions = held_out_pairs(data, "test")
    arrays["asked_query"] = questions.query_row
    arrays["asked_item"] = data.catalogue_row[questions.candidate]
    np.savez(folder / "data.npz", **arrays)
    settings = {
        "features": [
            {
                "key": feature.key,
                "table": feature.table,
                "side": feature.side,
                "multi": feature.kind == "multi",
                "is_id": feature.is_id,
                "dim": feature.dim,
            }
            for feature in data.schema.features
        ],
        "num_rows": work.num_rows,
        "hidden": list(config.model.hidden),
        "output_dim": config.model.output_dim,
        "batch_size": batch_size,
        "temperature": config.loss.temperature,
        "ssl_weight": config.self_supervision.weight,
        "table_learning_rate": config.training.table_learning_rate,
        "tower_learning_rate": config.training.tower_learning_rate,
        "seed": config.training.seed,
    }
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    return questions
