"""Writes our training set as plain arrays, which peers read without our code."""

import json
import sys
from pathlib import Path

import numpy as np
from training.work import Work

from longtail.evaluation.held_out import HeldOut, held_out_pairs
from longtail.features.encoding import offsets_of


def export(work: Work, batch_size: int, folder: Path) -> HeldOut:
    """Write `data.npz` and `settings.json`.

    The arrays are:

        <key>.values, <key>.offsets   for each feature, over all encoded rows of its side: table
                                      rows `[nnz]` int32, and `[rows + 1]` int64
        train_query, train_item       rows of the training examples, `[n]` int32
        query_of_row, item_of_row     the id of each row, int32
        item_share                    each item's share of the training examples, `[items]` float32
        asked_query, asked_item       the rows that the test part asks vectors for

    Args:
        work: the training set and its configuration.
        batch_size: examples per step.
        folder: an existing folder to write to.

    Returns:
        The held-out pairs of the test part.
    """
    data, config = work.training_set, work.config
    if data.schema.projections:
        sys.exit("peers: dense features are not exported: take them out of the FeatureServices")
    arrays = {
        "train_query": data.train.query_row,
        "train_item": data.train.item_row,
        "query_of_row": data.query_of_row,
        "item_of_row": data.item_of_row,
        "item_share": (data.train_count / data.train_count.sum()).astype(np.float32),
    }
    # Peers read each feature over all rows, so take the encoded sides apart by feature.
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
