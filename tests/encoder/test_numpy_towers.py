"""The towers in NumPy against the ones that were trained in torch, on random bundles and rows."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.artifacts import write_json
from longtail.encoder.numpy_towers import load_numpy_towers, map_tensors
from longtail.encoder.torch_encoder import Encoder
from longtail.errors import LongtailError
from longtail.features.encoding import EncodedRows, offsets_of
from longtail.features.schema import Feature, Schema

SCHEMA = Schema(
    query=(
        Feature("query_id", "query", "single", "string", "shared", 5, is_id=True),
        Feature("words", "query", "multi", "string", "words", 3),
    ),
    item=(
        Feature("item_id", "item", "single", "string", "shared", 5, is_id=True),
        Feature("size", "item", "single", "integer", "sizes", 2),
        Feature("words", "item", "multi", "string", "words", 3),
    ),
)
NUM_ROWS = {"shared": 11, "words": 7, "sizes": 1}


def write_bundle(folder: Path, hidden: list[int], seed: int) -> Encoder:
    torch.manual_seed(seed)
    tables = {
        table: torch.randn(NUM_ROWS[table], features[0].dim)
        for table, features in SCHEMA.tables.items()
    }
    encoder = Encoder(SCHEMA, tables, hidden, 4)
    named = {f"embedding_bags.embedding_bags.{name}.weight": t for name, t in tables.items()}
    safetensors.torch.save_file({**named, **encoder.state_dict()}, folder / "encoder.safetensors")
    write_json(folder / "schema.json", SCHEMA.to_json())
    return encoder


@pytest.mark.parametrize("hidden", [[6], [6, 9], [8, 5, 7]])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_same_vectors_as_torch(
    tmp_path_factory: pytest.TempPathFactory, hidden: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    reference = write_bundle(folder, hidden, data.draw(st.integers(0, 99)))
    towers = load_numpy_towers(folder)
    for side in ("query", "item"):
        # Rows of any cells, empty ones and repeated values among them.
        cells = data.draw(
            st.lists(
                st.tuples(
                    *(
                        st.lists(
                            st.integers(0, NUM_ROWS[feature.table] - 1),
                            max_size=4 if feature.kind == "multi" else 1,
                        )
                        for feature in SCHEMA.side(side)
                    )
                ),
                min_size=1,
                max_size=9,
            )
        )
        flat = [values for row in cells for values in row]
        rows = EncodedRows(
            len(SCHEMA.side(side)),
            offsets_of(np.array([len(values) for values in flat])),
            np.array([value for values in flat for value in values], np.int32),
        )
        expected = reference.encode(side, rows)
        for batch_size in (2, 4096):
            found = towers.encode(side, rows, batch_size=batch_size)
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_tables_are_mapped_not_read(tmp_path: Path) -> None:
    write_bundle(tmp_path, [6], 0)
    file = tmp_path / "encoder.safetensors"
    expected = safetensors.torch.load_file(file)
    tensors = map_tensors(file)
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        assert not tensor.flags.owndata
        assert not tensor.flags.writeable
        np.testing.assert_array_equal(tensor, expected[name].numpy())


def damaged(content: bytes, how: str) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    name = "item_tower.default"
    if how == "longer":
        header[name]["data_offsets"][1] += 4
    elif how == "outside":
        header[name]["data_offsets"] = [10**9, 10**9 + 40]
    elif how == "half":
        header[name]["dtype"] = "F16"
    elif how == "shape":
        header[name]["shape"] = [2, 5]
    elif how == "gone":
        del header[name]
    elif how == "more":
        header["item_tower.attention"] = header[name]
    written = json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + content[8 + size :]


@pytest.mark.parametrize("how", ["longer", "outside", "half", "shape", "gone", "more"])
def test_a_bundle_of_another_form_is_one_clear_error(tmp_path: Path, how: str) -> None:
    write_bundle(tmp_path, [6], 0)
    file = tmp_path / "encoder.safetensors"
    content = file.read_bytes()
    file.write_bytes(damaged(content, "as it was"))
    assert load_numpy_towers(tmp_path).output_dim == 4
    file.write_bytes(damaged(content, how))
    with pytest.raises(LongtailError, match=r"encoder\.safetensors cannot be read"):
        load_numpy_towers(tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_a_bundle_cut_short_is_one_clear_error(tmp_path: Path, kept: int) -> None:
    write_bundle(tmp_path, [6], 0)
    file = tmp_path / "encoder.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(LongtailError, match=r"encoder\.safetensors cannot be read"):
        load_numpy_towers(tmp_path)
    file.unlink()
    with pytest.raises(LongtailError, match=r"encoder\.safetensors cannot be read"):
        load_numpy_towers(tmp_path)
