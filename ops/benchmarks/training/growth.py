"""Our trainer over a synthetic catalogue of any size, in a process of its own.

It shows what many items cost beyond their tables: time per step, and memory.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from longtail.config import Config
from longtail.dataset.training_set import Examples, TrainingSet
from longtail.features.encoding import EncodedRows, offsets_of
from longtail.features.schema import Schema
from training.work import Work

_NUM_EXAMPLES = 1_000_000
_DAY = 86_400_000_000


def grown(work: Work, num_items: int, folder: Path) -> Work:
    """Return a synthetic training set of the demo's features, with tables scaled to the items.

    Values and popularity follow Zipf's law. The encoded rows are mapped from files, as those of a
    real training set are.
    """
    rng = np.random.default_rng(0)
    scale = num_items / len(work.training_set.item_ids)
    # These tables have the same few values in any catalogue.
    small = {"section", "multi_arch", "size_band", "tags"}
    num_rows = {
        name: rows if name in small else max(1, round(rows * scale))
        for name, rows in work.num_rows.items()
    }
    schema = work.training_set.schema
    queries = _rows(schema, "query", num_items, num_rows, folder, rng)
    items = _rows(schema, "item", num_items, num_rows, folder, rng)
    every = np.arange(num_items, dtype=np.int32)
    ids = pa.array(every)
    examples = Examples(
        query_row=rng.integers(0, num_items, _NUM_EXAMPLES, dtype=np.int32),
        item_row=_zipf(rng, num_items, _NUM_EXAMPLES),
        weight=np.ones(_NUM_EXAMPLES, np.float32),
        timestamp=np.full(_NUM_EXAMPLES, _DAY, np.int64),
    )
    nothing = Examples(*(getattr(examples, name)[:0] for name in Examples.__annotations__))
    training_set = TrainingSet(
        schema=schema,
        item_rows=items,
        query_rows=queries,
        item_ids=ids,
        catalogue_row=every,
        item_of_row=every,
        first_seen=np.zeros(num_items, np.int64),
        train_count=np.bincount(examples.item_row, minlength=num_items).astype(np.int64),
        query_ids=ids,
        latest_query_row=every,
        query_of_row=every,
        train=examples,
        validation=nothing,
        test=nothing,
    )
    return replace(work, training_set=training_set, num_rows=num_rows)


def _rows(
    schema: Schema,
    side: str,
    num_items: int,
    num_rows: dict[str, int],
    folder: Path,
    rng: np.random.Generator,
) -> EncodedRows:
    features = schema.side(side)  # type: ignore[arg-type]
    # The same number of values as on the demo: three to a multi-valued feature.
    lengths = np.array([1 if feature.kind == "single" else 3 for feature in features])
    offsets = offsets_of(np.tile(lengths, num_items))
    width = int(lengths.sum())
    values = np.memmap(folder / f"{side}.values", np.int32, "w+", shape=(num_items, width))
    ends = offsets_of(lengths)
    for position, feature in enumerate(features):
        columns = values[:, ends[position] : ends[position + 1]]
        if feature.is_id:
            columns[:, 0] = np.arange(num_items)
        else:
            for column in range(columns.shape[1]):
                columns[:, column] = _zipf(rng, num_rows[feature.table], num_items)
    kept = np.memmap(folder / f"{side}.offsets", np.int64, "w+", shape=offsets.shape)
    kept[:] = offsets
    return EncodedRows(len(features), kept, values.reshape(-1))


def _zipf(rng: np.random.Generator, num_values: int, size: int) -> np.ndarray:
    """Draw ranks `[size]` with a frequency of about 1 / rank."""
    drawn = np.exp(rng.random(size) * np.log(num_values + 1)) - 1
    ranks: np.ndarray = np.minimum(drawn, num_values - 1).astype(np.int32)
    return ranks


class Grown:
    """A trainer over a synthetic catalogue, in a process of its own.

    Attributes:
        table_bytes: size of the tables and their optimizer state, in bytes.
    """

    def __init__(self, config: Config, schema_of: Work, num_items: int, threads: int) -> None:
        self._work = replace(schema_of, config=config)
        context = get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other, self._work, num_items, threads), daemon=True
        )
        self._process.start()
        self.table_bytes = int(self._connection.recv())

    def run(self, num_steps: int) -> None:
        """Train for some steps."""
        self._connection.send(num_steps)
        self._connection.recv()

    def end(self) -> int:
        """End the process, and return the anonymous memory that it held, in bytes."""
        self._connection.send(0)
        peak = int(self._connection.recv())
        self._process.join()
        return peak


def _serve(connection, work: Work, num_items: int, threads: int) -> None:  # type: ignore[no-untyped-def]
    from longtail.training.process_setup import prepare_cpu
    from longtail.training.train_in_process import one_rank
    from training.ours import Ours

    prepare_cpu(threads)
    with tempfile.TemporaryDirectory() as folder, one_rank():
        ours = Ours(grown(work, num_items, Path(folder)), "ssl", work.config.training.batch_size)
        ours.run(5)
        state = ours.optimizer.state_dict()["state"].items()
        connection.send(_bytes_of(ours.model) + sum(_size(values) for _, values in state))
        while num_steps := connection.recv():
            ours.run(num_steps)
            connection.send(None)
        connection.send(anonymous_bytes())


def _size(values: dict[str, object]) -> int:
    shards: Sequence[object] = list(values.values())
    return sum(_tensor_bytes(shard) for shard in shards)


def _bytes_of(model) -> int:  # type: ignore[no-untyped-def]
    return sum(_tensor_bytes(value) for value in model.state_dict().values())


def _tensor_bytes(value) -> int:  # type: ignore[no-untyped-def]
    if hasattr(value, "local_shards"):
        return sum(_tensor_bytes(shard.tensor) for shard in value.local_shards())
    return value.numel() * value.element_size() if hasattr(value, "numel") else 0


def anonymous_bytes() -> int:
    """Return the anonymous resident memory of this process in bytes, without mapped files."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0
