"""Both towers of a version in NumPy, over a memory-mapped bundle.

Not in torch, because importing it takes 150 MB more, and a second, and a single query took several
times as long (SERVING.md has the figures). The tables stay on disk: only rows that are looked up
come into memory, and the kernel takes them back when it needs the room.
"""

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.artifacts import read_json
from longtail.encoder.tensor_names import (
    bias_tensors,
    projection_tensor,
    table_tensor,
    tower_prefix,
)
from longtail.errors import LongtailError
from longtail.features.encoding import EncodedRows, offsets_of
from longtail.features.schema import Schema, Side

Float32Array = npt.NDArray[np.float32]
Tensors = dict[str, Float32Array]

_SMALLEST_NORM = 1e-12  # as in torch.nn.functional.normalize
_MAX_HEADER = 100_000_000  # bytes; the safetensors format's own limit


@dataclass(frozen=True)
class NumpyTower:
    """A multilayer perceptron over the concatenated feature embeddings of one side.

    Attributes:
        default: `[sum(dims)]`, the embeddings of features without a value.
        layers: weight `[out, in]` and bias `[out]` of each layer.
    """

    default: Float32Array
    layers: tuple[tuple[Float32Array, Float32Array], ...]

    def forward(self, filled: Float32Array) -> Float32Array:
        """Return the unit vectors `[B, output_dim]` of feature embeddings `[B, sum(dims)]`."""
        hidden = filled
        for number, (weight, bias) in enumerate(self.layers):
            hidden = (np.maximum(hidden, 0.0) if number else hidden) @ weight.T + bias
        norms = np.linalg.norm(hidden, axis=1, keepdims=True)
        unit: Float32Array = hidden / np.maximum(norms, np.float32(_SMALLEST_NORM))
        return unit


class NumpyTowers:
    """Both towers of a version, and their tables.

    Args:
        schema: the version's schema.
        tables: `[rows, dim]` by table name.
        projections: `[dim, length]` of dense features, by table name.
        query: the query tower.
        item: the item tower.
    """

    def __init__(
        self,
        schema: Schema,
        tables: Tensors,
        projections: Tensors,
        query: NumpyTower,
        item: NumpyTower,
    ) -> None:
        self.schema = schema
        self._tables = tables
        self._projections = projections
        self._towers = {"query": query, "item": item}

    @property
    def output_dim(self) -> int:
        """The length of the vectors."""
        return len(self._towers["query"].layers[-1][1])

    def encode(self, side: Side, rows: EncodedRows, *, batch_size: int = 4096) -> Float32Array:
        """Encode feature rows.

        Args:
            side: the tower to use.
            rows: R rows of that side, encoded with this version's vocabularies.
            batch_size: rows that go through the tower at once.

        Returns:
            `[R, output_dim]` float32 unit vectors.
        """
        vectors = np.empty((rows.num_rows, self.output_dim), np.float32)
        for first in range(0, rows.num_rows, batch_size):
            batch = np.arange(first, min(first + batch_size, rows.num_rows))
            vectors[batch] = self._towers[side].forward(self._filled(side, rows, batch))
        return vectors

    def _filled(self, side: Side, rows: EncodedRows, batch: npt.NDArray[np.int64]) -> Float32Array:
        """Return the embeddings of a batch of rows, feature by feature: `[B, sum(dims)]`.

        An embedding is the mean of the looked-up table rows, the projection of a dense value, or
        the default where the feature has no value.
        """
        values, lengths = rows.columns(batch)
        feature_ends = offsets_of(lengths.sum(axis=1))
        filled = np.repeat(self._towers[side].default[None], len(batch), axis=0)
        column = 0
        for number, feature in enumerate(self.schema.side(side)):
            of_feature = values[feature_ends[number] : feature_ends[number + 1]]
            if len(of_feature):
                present = lengths[number] > 0
                if feature.is_dense:
                    weight = self._projections[feature.table]
                    means = rows.vectors[number][of_feature] @ weight.T
                else:
                    starts = offsets_of(lengths[number])[:-1][present]
                    sums = np.add.reduceat(self._tables[feature.table][of_feature], starts, axis=0)
                    means = sums / lengths[number][present, None].astype(np.float32)
                filled[present, column : column + feature.dim] = means
            column += feature.dim
        return filled


def load_numpy_towers(folder: Path) -> NumpyTowers:
    """Load the towers of a version.

    Args:
        folder: the version's folder, with `encoder.safetensors` and `schema.json`.

    Raises:
        LongtailError: the bundle is missing or damaged, or has another form than this release's.
    """
    file = folder / "encoder.safetensors"
    schema = Schema.from_json(read_json(folder / "schema.json"))
    try:
        tensors = map_tensors(file)
        tables = {table: tensors.pop(table_tensor(table)) for table in schema.tables}
        # Items have vectors of length one here: their biases are published with the catalogue.
        for name in bias_tensors("item"):
            tensors.pop(name, None)
        # Copied, as the layers are: every row needs all of a projection.
        projections = {
            table: tensors.pop(projection_tensor(table)).copy() for table in schema.projections
        }
        query = _tower(tensors, tower_prefix("query"))
        item = _tower(tensors, tower_prefix("item"))
        if tensors:
            raise ValueError(f"{', '.join(sorted(tensors))} is not known to this release")
        sides: tuple[tuple[Side, NumpyTower], ...] = (("query", query), ("item", item))
        for side, tower in sides:
            _check_shapes(schema, side, tables, projections, tower)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise LongtailError(
            f"{file} cannot be read ({error!r}): restore it, or train this version again"
        ) from error
    return NumpyTowers(schema, tables, projections, query, item)


def map_tensors(file: Path) -> Tensors:
    """Map the float32 tensors of a safetensors file into memory, without reading them.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no safetensors file, or damaged, or has tensors of another type.
    """
    with file.open("rb") as handle:
        size = file.stat().st_size
        header_size = int.from_bytes(handle.read(8), "little")
        if size < 8 or header_size > min(size - 8, _MAX_HEADER):
            raise ValueError("not a safetensors file, or cut short")
        header: dict[str, Any] = json.loads(handle.read(header_size))
        content = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        # A damaged header should not pass for weights.
        start, end = (8 + header_size + offset for offset in entry["data_offsets"])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        if entry["dtype"] != "F32" or end - start != 4 * count or not 8 <= start <= end <= size:
            raise ValueError(f"{name} is not {entry['shape']} float32 values of the file")
        values = np.frombuffer(content, np.float32, count, start)
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def _tower(tensors: Tensors, prefix: str) -> NumpyTower:
    """Take a tower's tensors out of those of the bundle."""
    names = ["input_layer"]
    while f"{prefix}layers.{len(names) - 1}.weight" in tensors:
        names.append(f"layers.{len(names) - 1}")
    # Copied: every call reads all of these few layers, and should not wait for a disk.
    layers = tuple(
        (tensors.pop(f"{prefix}{name}.weight").copy(), tensors.pop(f"{prefix}{name}.bias").copy())
        for name in names
    )
    return NumpyTower(tensors.pop(f"{prefix}default").copy(), layers)


def _check_shapes(
    schema: Schema, side: Side, tables: Tensors, projections: Tensors, tower: NumpyTower
) -> None:
    """Check the shapes of a tower, its tables and projections.

    Raises:
        ValueError: they do not fit the schema.
    """
    width = sum(feature.dim for feature in schema.side(side))
    shapes = [tower.default.shape == (width,)]
    for weight, bias in tower.layers:
        shapes.append(weight.shape == (*bias.shape, width))
        width = len(bias)
    for feature in schema.side(side):
        if feature.is_dense:
            shapes.append(projections[feature.table].shape == (feature.dim, feature.length))
            continue
        table = tables[feature.table]
        shapes.append(table.ndim == 2 and table.shape[1] == feature.dim)
    if not all(shapes):
        raise ValueError(f"the {side} tower does not fit its schema")
