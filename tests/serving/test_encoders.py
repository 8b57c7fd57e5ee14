"""Encoding by the served version, without torch or Feast, compared with the torch towers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config
from longtail.embeddings.export import export_catalogue
from longtail.embeddings.index import build_index
from longtail.embeddings.publish import publish, rollback
from longtail.encoder.torch_encoder import load_encoder
from longtail.errors import InputError, LongtailError
from longtail.features.encoding import encode_table
from longtail.features.vocabulary import load_vocabularies
from longtail.serving import ItemEncoder, QueryEncoder
from tests.evaluation.small_project import DIM, make_config, make_day, make_version
from tests.publications import DAYS, Published

FIRST, SECOND, *_ = DAYS
SIDES = {"query": QueryEncoder, "item": ItemEncoder}


def catalogue(project: Published, side: str) -> pa.Table:
    """Read the day's rows of one side, with only the columns that are features."""
    name = {"query": "queries", "item": "items"}[side]
    table = pq.read_table(RunPaths(project.config, FIRST).catalogue / f"{name}.parquet")
    paths = VersionPaths(project.config, project.versions[FIRST])
    return table.select([feature["name"] for feature in read_json(paths.schema)[side]])


def by_torch(project: Published, side: str, table: pa.Table) -> np.ndarray:
    paths = VersionPaths(project.config, project.versions[FIRST])
    encoder = load_encoder(paths.folder)
    features = encoder.schema.side(side)
    rows = encode_table(table, features, load_vocabularies(paths.vocabularies))
    return encoder.encode(side, rows)


@pytest.mark.parametrize("side", ["query", "item"])
def test_known_rows_get_the_vectors_of_the_torch_towers(served: Published, side: str) -> None:
    """Rows are given as a table, as a list of dicts, one by one; item-001 has only its id."""
    table = catalogue(served, side)
    encoder = SIDES[side](served.config)
    expected = by_torch(served, side, table)
    encoded = encoder.encode(table)
    assert encoded.version == served.versions[FIRST]
    assert encoded.vectors.dtype == np.float32
    assert encoder.features == table.column_names
    rows = table.to_pylist()
    one_by_one = np.concatenate([encoder.encode(row).vectors for row in rows])
    for vectors in (encoded.vectors, encoder.encode(rows).vectors, one_by_one):
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(table.to_batches()[0]).vectors, expected, atol=1e-6)


def test_known_items_get_their_exported_vectors(tmp_path: Path) -> None:
    """The stages export by torch and index; then NumPy encodes the same items."""
    config = make_config(tmp_path)
    day = make_day(config, DAYS[0], 50)
    paths = VersionPaths(config, make_version(config, day, seed=3))
    run = RunPaths(config, day.as_of)
    write_json(run.approved, {"version": paths.version})
    export_catalogue(config, day.as_of)
    build_index(config, day.as_of)
    point(config, paths.version)
    table = pq.read_table(run.catalogue / "items.parquet").drop_columns(["event_timestamp"])
    encoded = ItemEncoder(config).encode(table)
    exported = pq.read_table(paths.embeddings)
    assert table["item_id"].to_pylist() == exported["item_id"].to_pylist()
    vectors = np.array(exported["embedding"].to_pylist(), np.float32)
    assert encoded.vectors.shape == vectors.shape == (47, DIM)
    np.testing.assert_allclose(encoded.vectors, vectors, atol=1e-6)


def point(config: Config, version: str) -> None:
    served = {"version": version, "as_of": "2024-01-10", "published_at": "2024-01-11T00:00:00"}
    served |= {"num_items": 1, "slot": "b"}
    write_json(
        config.home / "published.json", {**served, "previous": None, "slots": {}, "leaving": None}
    )


def test_what_was_never_seen_counts_as_not_known(served: Published) -> None:
    encoder = ItemEncoder(served.config)
    known = catalogue(served, "item").to_pylist()[5]
    without = {name: value for name, value in known.items() if name not in ("item_id", "section")}
    nothing = pa.table({name: pa.nulls(1) for name in known}).cast(catalogue(served, "item").schema)
    expected = by_torch(served, "item", nothing)
    never_seen = {"item_id": "made today", "section": "no\0such", "tags": [], "words": ["?", None]}
    for row in ({}, {"item_id": None}, never_seen, {"tags": None, "words": ("never", "seen")}):
        np.testing.assert_allclose(encoder.encode(row).vectors, expected, atol=1e-6)
    new = encoder.encode({**without, "item_id": "made today", "section": "new"}).vectors
    np.testing.assert_array_equal(encoder.encode(without).vectors, new)
    half = pa.Table.from_pylist([known]).drop_columns(["item_id", "section"])
    np.testing.assert_allclose(encoder.encode(half).vectors, new, atol=1e-6)
    assert np.abs(new - expected).max() > 0.01
    # A value that was never seen does not change the mean of the others.
    more = {**known, "tags": [*known["tags"], "never-seen"]}
    np.testing.assert_array_equal(encoder.encode(more).vectors, encoder.encode(known).vectors)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"colour": "red", "item_id": "a", "size": 3},
            "no such item feature: 'colour', 'size'; .*tags",
        ),
        ([{}, {"query_id": "a"}], "no such item feature: 'query_id'"),
        (pa.table({"colour": ["red"]}), "no such item feature: 'colour'"),
        ({"section": 7}, "feature section is 7: expected a string"),
        ({"section": ["a"]}, "feature section is .*: expected a string"),
        ({"tags": "a"}, "feature tags is 'a': expected a list, each value a string"),
        ({"tags": ["a", 7]}, "expected a list, each value a string"),
        ({"tags": [["a"]]}, "expected a list, each value a string"),
        ({"section": "\ud800"}, "not valid Unicode"),
        (pa.table({"section": [7]}), "column section is int64: expected string"),
        (pa.table({"tags": ["a"]}), "column tags is string: expected list"),
        (pa.table({"section": [["a"]]}), "column section is list"),
        ([], "at least one dict"),
        ("item-000", "at least one dict"),
        (["item-000"], "'item-000' is no row"),
        (None, "at least one dict"),
    ],
)
def test_what_cannot_be_encoded_is_one_clear_error(
    served: Published, rows: Any, message: str
) -> None:
    encoder = ItemEncoder(served.config)
    with pytest.raises(InputError, match=message):
        encoder.encode(rows)
    assert encoder.encode({}).vectors.shape == (1, 8)


def test_an_encoder_follows_publications(project: Published) -> None:
    encoder = QueryEncoder(project.config)
    with pytest.raises(LongtailError, match="nothing is published yet"):
        encoder.encode({})
    vectors = {}
    for act, day in (
        (lambda: publish(project.config, FIRST), FIRST),
        (lambda: publish(project.config, SECOND), SECOND),
        (lambda: rollback(project.config), FIRST),
    ):
        act()
        encoded = encoder.encode({"query_id": "item-004"})
        assert encoded.version == project.versions[day]
        known = vectors.setdefault(day, encoded.vectors)
        np.testing.assert_array_equal(encoded.vectors, known)
    assert np.abs(vectors[FIRST] - vectors[SECOND]).max() > 0.01


@pytest.mark.parametrize("part", ["encoder.safetensors", "vocabularies/section.parquet"])
def test_a_damaged_version_is_not_loaded(project: Published, part: str) -> None:
    publish(project.config, FIRST)
    file = VersionPaths(project.config, project.versions[FIRST]).folder / part
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")
    with pytest.raises(LongtailError, match=f"{part} is not the file that was committed"):
        QueryEncoder(project.config).encode({})
    file.write_bytes(content)
    assert QueryEncoder(project.config).encode({}).vectors.shape == (1, 8)


def test_encoding_needs_no_heavy_library(served: Published) -> None:
    """A process of its own encodes plain values, and lists the heavy modules that it imported."""
    program = """if True:
        import json, sys
        from pathlib import Path
        from longtail.config import Config
        from longtail.serving import ItemEncoder, QueryEncoder
        config = Config(feature_repo=Path("nowhere"), home=Path(sys.argv[1]))
        rows = json.loads(sys.argv[2])
        vectors = QueryEncoder(config).encode(rows[0]).vectors.tolist()
        vectors += ItemEncoder(config).encode(rows[1:]).vectors.tolist()
        heavy = {"torch", "torchrec", "fbgemm_gpu", "feast", "pandas", "dagster", "faiss"}
        print(json.dumps({"vectors": vectors, "heavy": sorted(heavy & set(sys.modules))}))
    """
    query = catalogue(served, "query").slice(3, 1)
    items = catalogue(served, "item").slice(7, 2)
    rows = [*query.to_pylist(), *items.to_pylist()]
    # The feature repository does not exist: encoding does not look at it.
    done = subprocess.run(
        [sys.executable, "-c", program, str(served.config.home), json.dumps(rows)],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["heavy"] == []
    expected = [*by_torch(served, "query", query), *by_torch(served, "item", items)]
    np.testing.assert_allclose(answer["vectors"], expected, atol=1e-6)
