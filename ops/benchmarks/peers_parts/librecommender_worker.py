"""The worker of LibRecommender: its two towers with self-supervision, over our features.

It runs in an interpreter of its own; `turns.py` has the protocol.
"""

import logging
from collections.abc import Iterator
from typing import Any

import libreco
import numpy as np
import pandas as pd
import tensorflow as tf
import torch
from libreco.algorithms import TwoTower
from libreco.batch import get_batch_loader, get_tf_feeds
from libreco.data import DatasetFeat
from libreco.training.dispatch import get_trainer
from peers_parts.turns import Arrays, serve

NONE = -1


class LibRecommender:
    """LibRecommender's two towers as a `turns.Worker`.

    Args:
        arrays, settings: written by `export.py`.
        choices: `threads`, for within an operation and for parallel operations, and `ssl_pattern`,
            LibRecommender's name of the augmentation.
    """

    def __init__(self, arrays: Arrays, settings: dict[str, Any], choices: dict[str, Any]) -> None:
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        columns = {
            feature["key"]: _columns(arrays, feature)
            for feature in settings["features"]
            if not feature["is_id"]
        }
        self._data, info = _training_data(arrays, settings, columns)
        threads = choices["threads"]
        # The settings of our configuration, as far as LibRecommender has them.
        self._model = TwoTower(
            "ranking",
            info,
            loss_type="softmax",
            embed_size=settings["features"][0]["dim"],
            norm_embed=True,
            lr=settings["tower_learning_rate"],
            batch_size=settings["batch_size"],
            use_bn=False,
            hidden_units=(*settings["hidden"], settings["output_dim"]),
            use_correction=True,
            temperature=settings["temperature"],
            remove_accidental_hits=True,
            ssl_pattern=choices["ssl_pattern"],
            alpha=settings["ssl_weight"],
            seed=settings["seed"],
            tf_sess_config={
                "intra_op_parallelism_threads": threads,
                "inter_op_parallelism_threads": threads,
            },
        )
        self._prepare()
        self._batches = self._endless()
        self.about = {
            "LibRecommender": libreco.__version__,
            "tensorflow": tf.__version__,
            "torch": torch.__version__,
            "values of a feature": {key: values.shape[1] for key, values in columns.items()},
        }

    def run(self, num_steps: int) -> None:
        """Train for some steps, as `TensorFlowTrainer.run` does."""
        model = self._model
        for _ in range(num_steps):
            feed = get_tf_feeds(model, next(self._batches), is_training=True)
            model.sess.run((model.trainer.loss, model.trainer.training_op), feed)

    def vectors(self) -> Arrays:
        """Raise RuntimeError: LibRecommender has no vectors of items that it was not trained on."""
        raise RuntimeError("LibRecommender has no vectors of items that it was not trained on")

    def _prepare(self) -> None:
        """Do what `TwoTower.fit` does before its first epoch."""
        model = self._model
        model.show_start_time()
        _, counts = np.unique(self._data.item_indices, return_counts=True)
        model.item_corrections = counts / len(self._data)
        if model.ssl_pattern == "cfm":
            from libreco.feature.ssl import get_mutual_info

            model.sparse_feat_mutual_info = get_mutual_info(self._data, model.data_info)
        model.build_model()
        model.model_built = True
        model.trainer = get_trainer(model)

    def _endless(self) -> Iterator[Any]:
        """Yield the whole batches of its loader, epoch after epoch."""
        model = self._model
        loader = get_batch_loader(model, self._data, False, model.batch_size, True, 0, model.seed)
        while True:
            for batch in loader:
                if len(batch.items) == model.batch_size:
                    yield batch


def _columns(arrays: Arrays, feature: dict[str, Any]) -> Any:
    """Return a feature of every row, `[rows, n]` int64, padded with `NONE`.

    n is 1 for a single-valued feature, and else the mean number of values, rounded up. Each of the
    n columns is an input of its own to the tower. Further values are left out.
    """
    values, offsets = arrays[f"{feature['key']}.values"], arrays[f"{feature['key']}.offsets"]
    lengths = np.diff(offsets)
    width = int(np.ceil(lengths.mean())) if feature["multi"] else 1
    place = np.arange(width)
    found = np.minimum(offsets[:-1, None] + place, len(values) - 1)
    return np.where(place < lengths[:, None], values[found], NONE)


def _training_data(arrays: Arrays, settings: dict[str, Any], columns: Arrays) -> tuple[Any, Any]:
    """Return its training set and its `DataInfo`, from one table with a row per example."""
    rows = {"query": arrays["train_query"], "item": arrays["train_item"]}
    table = {
        "user": arrays["query_of_row"][rows["query"]],
        "item": arrays["item_of_row"][rows["item"]],
        "label": np.ones(len(rows["item"]), np.float32),
    }
    names: dict[str, list[str]] = {"query": [], "item": []}
    single, multi = [], []
    for feature in settings["features"]:
        if feature["is_id"]:
            continue
        values = columns[feature["key"]][rows[feature["side"]]]
        own = [f"{feature['key']}.{place}" for place in range(values.shape[1])]
        table.update(zip(own, values.T, strict=True))
        names[feature["side"]] += own
        if feature["multi"]:
            multi.append(own)
        else:
            single += own
    return DatasetFeat.build_trainset(  # type: ignore[no-any-return]
        pd.DataFrame(table),
        user_col=names["query"],
        item_col=names["item"],
        sparse_col=single,
        multi_sparse_col=multi,
        pad_val=NONE,
    )


if __name__ == "__main__":
    serve(LibRecommender)
