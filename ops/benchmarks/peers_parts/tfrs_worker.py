"""The worker of TensorFlow Recommenders: its retrieval task, built as its documentation does.

It runs in an interpreter of its own; `turns.py` has the protocol.
"""

from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
from peers_parts.turns import Arrays, serve


class Tower(tf.keras.Model):  # type: ignore[misc]
    """The tower of one side: features by key to unit vectors `[B, output_dim]`.

    A single-valued feature is looked up; a missing value has a table row of its own. A multi-valued
    feature is the mean of its rows, and zero without values.
    """

    def __init__(self, features: list[Any], tables: dict[str, Any], settings: Any) -> None:
        super().__init__()
        self._features, self._tables = features, tables
        self._dense = [tf.keras.layers.Dense(n, "relu") for n in settings["hidden"]]
        self._dense.append(tf.keras.layers.Dense(settings["output_dim"]))

    def call(self, inputs: dict[str, Any]) -> Any:
        """Return the vectors `[B, output_dim]` of a batch."""
        return self.vectors(self.pooled(inputs))

    def pooled(self, inputs: dict[str, Any]) -> Any:
        """Return the embeddings of all features side by side, `[B, sum(dims)]`."""
        columns = []
        for feature in self._features:
            table, value = self._tables[feature["table"]], inputs[feature["key"]]
            columns.append(mean(table, value) if feature["multi"] else table(value))
        return tf.concat(columns, axis=1)

    def vectors(self, pooled: Any) -> Any:
        """Return the vectors for the output of `pooled`."""
        hidden = pooled
        for layer in self._dense:
            hidden = layer(hidden)
        return tf.math.l2_normalize(hidden, axis=1)

    def tower_weights(self) -> list[Any]:
        """Return the weights of the layers, without the tables."""
        return [weight for layer in self._dense for weight in layer.trainable_weights]


def mean(table: Any, ids: Any) -> Any:
    """Return the mean embeddings `[B, dim]` of a ragged `[B, None]` of table rows."""
    num_rows = ids.nrows()
    summed = tf.math.unsorted_segment_sum(table(ids.flat_values), ids.value_rowids(), num_rows)
    counts = tf.cast(tf.maximum(ids.row_lengths(), 1), tf.float32)
    return summed / counts[:, None]


class TwoTower(tfrs.Model):  # type: ignore[misc]
    """The two towers, and the retrieval task.

    Args:
        settings: written by `export.py`.
        jit: whether XLA compiles what follows the lookups.
    """

    def __init__(self, settings: dict[str, Any], *, jit: bool) -> None:
        super().__init__()
        dims = {feature["table"]: feature["dim"] for feature in settings["features"]}
        self.tables = {
            name: tf.keras.layers.Embedding(num_rows + 1, dims[name])
            for name, num_rows in settings["num_rows"].items()
            if name in dims
        }
        self.query_tower, self.item_tower = (
            Tower(
                [feature for feature in settings["features"] if feature["side"] == side],
                self.tables,
                settings,
            )
            for side in ("query", "item")
        )
        self.task = tfrs.tasks.Retrieval(
            loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True),
            temperature=settings["temperature"],
            remove_accidental_hits=True,
        )

        # What follows the lookups has the same shapes in every batch, so XLA compiles it once.
        self._dense_part = tf.function(self._loss_of_pooled, jit_compile=jit)

    def compute_loss(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Return the loss of a batch."""
        query, item = self.query_tower.pooled(inputs), self.item_tower.pooled(inputs)
        return self._dense_part(query, item, inputs["share"], inputs["id"])

    def _loss_of_pooled(self, query: Any, item: Any, share: Any, item_id: Any) -> Any:
        return self.task(
            self.query_tower.vectors(query),
            self.item_tower.vectors(item),
            candidate_sampling_probability=share,
            candidate_ids=item_id,
            compute_metrics=False,
        )


class Tfrs:
    """The retrieval task as a `turns.Worker`.

    Args:
        arrays, settings: written by `export.py`.
        choices: `threads`, for within an operation and for parallel operations, and `jit`: whether
            XLA compiles what follows the lookups.
    """

    def __init__(self, arrays: Arrays, settings: dict[str, Any], choices: dict[str, Any]) -> None:
        tf.config.threading.set_intra_op_parallelism_threads(choices["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(choices["threads"])
        tf.keras.utils.set_random_seed(settings["seed"])
        self.about = {"tensorflow": tf.__version__, "tensorflow-recommenders": tfrs.__version__}
        self._arrays, self._settings = arrays, settings
        self._columns = {
            feature["key"]: _column(arrays, feature) for feature in settings["features"]
        }
        self._model = TwoTower(settings, jit=choices["jit"])
        # The legacy Adagrad has a fused update of table rows. Its sums start at zero, as ours do.
        self._optimizers = [
            tf.keras.optimizers.legacy.Adagrad(settings["table_learning_rate"], 0.0),
            tf.keras.optimizers.legacy.Adagrad(settings["tower_learning_rate"], 0.0),
        ]
        self._batches = iter(self._dataset())
        self._step = tf.function(self._train_step, reduce_retracing=True)

    def run(self, num_steps: int) -> None:
        """Train for some steps."""
        for _ in range(num_steps):
            loss = self._step(next(self._batches))
        float(loss)  # waits for the last step

    def vectors(self) -> Arrays:
        """Return the vectors of the rows that the test part asks for."""
        made = {}
        for side, tower in (
            ("query", self._model.query_tower),
            ("item", self._model.item_tower),
        ):
            rows = tf.data.Dataset.from_tensor_slices(self._arrays[f"asked_{side}"]).batch(4096)
            parts = [tower(self._gathered(side, some)) for some in rows]
            made[side] = tf.concat(parts, axis=0).numpy()
        return made

    def _train_step(self, inputs: dict[str, Any]) -> Any:
        model = self._model
        with tf.GradientTape() as tape:
            loss = model.compute_loss(inputs, training=True)
        tables = [variable for table in model.tables.values() for variable in table.weights]
        towers = [*model.query_tower.tower_weights(), *model.item_tower.tower_weights()]
        gradients = tape.gradient(loss, tables + towers)
        self._optimizers[0].apply_gradients(zip(gradients[: len(tables)], tables, strict=True))
        self._optimizers[1].apply_gradients(zip(gradients[len(tables) :], towers, strict=True))
        return loss

    def _dataset(self) -> Any:
        """Return whole batches: cut up the order of each epoch, then gather each batch's rows."""
        size = self._settings["batch_size"]
        queries, items = (tf.constant(self._arrays[f"train_{s}"]) for s in ("query", "item"))
        ids = tf.constant(self._arrays["item_of_row"])
        share = tf.constant(self._arrays["item_share"])
        count = len(self._arrays["train_query"])

        # Gathering a batch at once costs less than batching single examples.
        def epoch(_: Any) -> Any:
            order = tf.random.shuffle(tf.range(count))[: count // size * size]
            return tf.data.Dataset.from_tensor_slices(tf.reshape(order, (-1, size)))

        def batch(examples: Any) -> dict[str, Any]:
            item_rows = tf.gather(items, examples)
            item = tf.gather(ids, item_rows)
            return {
                **self._gathered("query", tf.gather(queries, examples)),
                **self._gathered("item", item_rows),
                "id": item,
                "share": tf.gather(share, item),
            }

        epochs = tf.data.Dataset.counter().flat_map(epoch)
        return epochs.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(4)

    def _gathered(self, side: str, rows: Any) -> dict[str, Any]:
        return {
            feature["key"]: tf.gather(self._columns[feature["key"]], rows)
            for feature in self._settings["features"]
            if feature["side"] == side
        }


def _column(arrays: Arrays, feature: dict[str, Any]) -> Any:
    """Return a feature of every row: ragged `[rows, None]`, or `[rows]` with 0 for none."""
    # Row 0 of a table stands for a missing value, so every row moves up by one.
    values, offsets = arrays[f"{feature['key']}.values"] + 1, arrays[f"{feature['key']}.offsets"]
    if feature["multi"]:
        return tf.RaggedTensor.from_row_splits(values, offsets, validate=False)
    single = (offsets[1:] - offsets[:-1]).astype(values.dtype)
    single[single > 0] = values
    return tf.constant(single)


if __name__ == "__main__":
    serve(Tfrs)
