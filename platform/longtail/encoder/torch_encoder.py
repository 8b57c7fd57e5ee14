"""Both towers of a version as plain torch modules, over tables in memory.

They need only torch: no TorchRec, no FBGEMM, no process group.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from longtail.artifacts import read_json
from longtail.encoder.tensor_names import bias_tensors, table_tensor
from longtail.errors import LongtailError
from longtail.features.dense import rows_of_vectors
from longtail.features.encoding import EncodedRows, offsets_of
from longtail.features.schema import Schema, Side
from longtail.model.projections import projections
from longtail.model.towers import Tower


class Encoder(nn.Module):
    """Both towers of a version as plain torch modules.

    Args:
        schema: the version's schema.
        tables: `[rows, dim]` weights by table name.
        hidden: widths of the towers' hidden layers.
        output_dim: length of the vectors.
        item_bias: whether the item tower has a bias.
    """

    def __init__(
        self,
        schema: Schema,
        tables: Mapping[str, torch.Tensor],
        hidden: list[int],
        output_dim: int,
        *,
        item_bias: bool = False,
    ) -> None:
        super().__init__()
        self.schema = schema
        self.output_dim = output_dim
        self._tables = dict(tables)
        self.query_tower = Tower([f.dim for f in schema.query], hidden, output_dim)
        self.item_tower = Tower(
            [f.dim for f in schema.item], hidden, output_dim, has_bias=item_bias
        )
        self.projections = projections(schema)

    @property
    def has_bias(self) -> bool:
        """Whether items have a learned bias."""
        return self.item_tower.bias_head is not None

    def encode(
        self, side: Side, rows: EncodedRows, *, batch_size: int = 4096
    ) -> npt.NDArray[np.float32]:
        """Encode feature rows.

        Args:
            side: the tower to use.
            rows: R rows of that side, encoded with this version's vocabularies.
            batch_size: rows that go through the tower at once.

        Returns:
            `[R, output_dim]` float32 unit vectors.
        """
        vectors = self.encode_scored(side, rows, batch_size=batch_size)
        return np.ascontiguousarray(vectors[:, : self.output_dim])

    @torch.inference_mode()
    def encode_scored(
        self, side: Side, rows: EncodedRows, *, batch_size: int = 4096
    ) -> npt.NDArray[np.float32]:
        """Encode feature rows into vectors with inner products that are scores.

        See `encode` for arguments.

        Returns:
            What `encode` returns, where items have no bias. Else each vector has one number more:
            a query's is 1, an item's is its bias, in the units of a cosine.
        """
        tower = self.query_tower if side == "query" else self.item_tower
        features = self.schema.side(side)
        # A query's last number stays what it is here.
        vectors = np.ones((rows.num_rows, self.output_dim + self.has_bias), np.float32)
        width = self.output_dim if side == "query" else vectors.shape[1]
        for first in range(0, rows.num_rows, batch_size):
            batch = np.arange(first, min(first + batch_size, rows.num_rows))
            values, lengths = rows.columns(batch)
            ends = offsets_of(lengths.sum(axis=1))
            pooled = [
                self._embedded(side, i, rows, values[ends[i] : ends[i + 1]], lengths[i])
                for i in range(len(features))
            ]
            dtype = tower.default.dtype  # tables may be fp16
            missing = torch.from_numpy(lengths.T == 0).to(dtype)
            encoded = tower([values.to(dtype) for values in pooled], missing)
            vectors[batch, :width] = encoded.numpy()
        return vectors

    def _embedded(
        self,
        side: Side,
        position: int,
        rows: EncodedRows,
        codes: npt.NDArray[np.int32],
        lengths: npt.NDArray[np.int64],
    ) -> torch.Tensor:
        """Return the embeddings of one feature, zero where it has no value: `[B, dim]`.

        Args:
            side: the side of the feature.
            position: the feature, by its position among those of the side.
            rows: the rows that the batch was taken from.
            codes: the feature's values in the batch, row by row.
            lengths: `[B]` the number of values of each row.
        """
        feature = self.schema.side(side)[position]
        if feature.is_dense:
            vectors = rows_of_vectors(rows.vectors[position], codes, lengths > 0)
            return functional.linear(torch.from_numpy(vectors), self.projections[feature.table])
        return functional.embedding_bag(
            torch.from_numpy(codes.astype(np.int64)),
            self._tables[feature.table],
            torch.from_numpy(offsets_of(lengths)),
            mode="mean",
            include_last_offset=True,
        )


def load_encoder(folder: Path) -> Encoder:
    """Load the encoder of a version.

    Args:
        folder: the version's folder, with `encoder.safetensors`, `config.json` and `schema.json`.

    Raises:
        LongtailError: the bundle is missing or damaged.
    """
    file = folder / "encoder.safetensors"
    schema = Schema.from_json(read_json(folder / "schema.json"))
    model = read_json(folder / "config.json")["model"]
    try:
        tensors = safetensors.torch.load_file(file)
    except (OSError, safetensors.SafetensorError, json.JSONDecodeError) as error:
        raise LongtailError(f"{file} cannot be read ({error}): train this version again") from error
    return encoder_of(schema, tensors, model["hidden"], model["output_dim"])


def encoder_of(
    schema: Schema, tensors: Mapping[str, torch.Tensor], hidden: list[int], output_dim: int
) -> Encoder:
    """Return the encoder that a model's tensors make, in evaluation mode. It shares them.

    Args:
        schema: the schema of the model.
        tensors: tables and towers, by the names of `tensor_names`.
        hidden: widths of the towers' hidden layers.
        output_dim: length of the vectors.
    """
    rest = dict(tensors)
    tables = {table: rest.pop(table_tensor(table)) for table in schema.tables}
    # No layer is initialised on the meta device. That would draw random numbers, and training may
    # go on beside this, with dropout.
    with torch.device("meta"):
        item_bias = bias_tensors("item")[0] in rest
        encoder = Encoder(schema, tables, hidden, output_dim, item_bias=item_bias)
    encoder.load_state_dict(rest, assign=True)
    return encoder.eval()
