"""Biases in the exported file: their values, and what validation refuses."""

import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, VersionPaths, write_json
from longtail.config import CalibrationConfig, Config
from longtail.embeddings.export import export_catalogue
from longtail.embeddings.index import make_index
from longtail.embeddings.index_recall import recall
from longtail.embeddings.version_validation import validate_embeddings
from longtail.encoder.score_vectors import as_queries, with_bias
from longtail.encoder.torch_encoder import load_encoder
from longtail.errors import LongtailError
from longtail.features.encoding import encode_table
from longtail.features.vocabulary import load_vocabularies
from tests.evaluation.small_project import DIM, make_config, make_day, make_version

DAY = date(2025, 8, 9)


def exported(folder: Path, item_bias: str, beta: float) -> tuple[Config, VersionPaths]:
    config = make_config(folder)
    model = config.model.model_copy(update={"item_bias": item_bias})
    config = config.model_copy(update={"model": model})
    version = make_version(config, make_day(config, DAY, 40), seed=1)
    paths = VersionPaths(config, version)
    temperature = config.loss.temperature
    write_json(paths.metrics, {"calibration": {"beta": beta, "temperature": temperature}})
    write_json(RunPaths(config, DAY).approved, {"version": version})
    export_catalogue(config, DAY)
    return config, paths


@pytest.mark.parametrize("item_bias", ["none", "learned"])
@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_the_bias_is_what_the_tower_says_and_the_weight_of_all_known_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, item_bias: str, beta: float
) -> None:
    monkeypatch.setattr("longtail.embeddings.export.ROWS_AT_A_TIME", 7)
    config, paths = exported(tmp_path, item_bias, beta)
    table = pq.read_table(paths.embeddings)
    if item_bias == "none" and not beta:
        assert table.column_names == ["item_id", "embedding", "model_version"]
        return
    assert table.column_names == ["item_id", "embedding", "model_version", "bias"]
    assert table.schema.field("bias").type == pa.float32()
    items = pq.read_table(RunPaths(config, DAY).catalogue / "items.parquet")
    pairs = pq.read_table(RunPaths(config, DAY).catalogue / "interactions.parquet")
    linked = pairs["item_id"].to_pylist()
    logs = [math.log(linked.count(item) + 0.5) for item in items["item_id"].to_pylist()]
    encoder, vocabularies = load_encoder(paths.folder), load_vocabularies(paths.vocabularies)
    rows = encode_table(items, encoder.schema.item, vocabularies)
    vectors = encoder.encode_scored("item", rows)
    learned = vectors[:, DIM] if item_bias == "learned" else np.zeros(len(logs))
    assert encoder.has_bias == (item_bias == "learned")
    expected = [
        float(own) + config.loss.temperature * beta * (log - sum(logs) / len(logs))
        for own, log in zip(learned, logs, strict=True)
    ]
    np.testing.assert_allclose(table["bias"].to_pylist(), expected, rtol=1e-5, atol=1e-6)
    found = np.array(table["embedding"].to_pylist(), np.float32)
    np.testing.assert_allclose(found, vectors[:, :DIM], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)


def test_another_weight_is_exported_again_and_a_committed_version_says_it_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, paths = exported(tmp_path, "none", 0.7)
    first = pq.read_table(paths.embeddings)["bias"].to_numpy()
    metrics = {"calibration": {"beta": -0.7, "temperature": config.loss.temperature}}
    write_json(paths.metrics, metrics)
    export_catalogue(config, DAY)
    np.testing.assert_allclose(pq.read_table(paths.embeddings)["bias"].to_numpy(), -first)
    write_json(paths.manifest, {"version": paths.version})
    wanted = config.model_copy(update={"calibration": CalibrationConfig(popularity=0.2)})
    with caplog.at_level("WARNING"):
        export_catalogue(wanted, DAY)
    assert "committed with the weight -0.7 of popularity, and stays as it is" in caplog.text


def validated(paths: VersionPaths, table: pa.Table, **manifest: Any) -> str:
    file = paths.folder / "changed.parquet"
    pq.write_table(table, file)
    document: Any = {
        "version": paths.version,
        "embedding_dim": DIM,
        "num_items": table.num_rows,
        "score": "cosine_plus_bias",
        **manifest,
    }
    return validate_embeddings(file, document, batch_rows=10, catalogue=None).sha256


def test_biases_are_a_part_of_the_content(tmp_path: Path) -> None:
    _, paths = exported(tmp_path, "learned", 0.5)
    table = pq.read_table(paths.embeddings)
    own = validated(paths, table)
    assert own == validated(paths, table)
    bias = table["bias"].to_numpy().copy()
    bias[3] += 1.0
    assert validated(paths, table.set_column(3, "bias", pa.array(bias))) != own
    # Without the column the rows are those of every version before.
    plain = validated(paths, table.drop_columns("bias"), score="cosine")
    assert plain != own
    bias[3] = np.nan
    name = table["item_id"][3].as_py()
    with pytest.raises(LongtailError, match=f"row 3: item '{name}' has a bias not finite"):
        validated(paths, table.set_column(3, "bias", pa.array(bias)))
    with pytest.raises(LongtailError, match="column bias is missing"):
        validated(paths, table.drop_columns("bias"))
    with pytest.raises(LongtailError, match="has a column bias, and its manifest says"):
        validated(paths, table, score="cosine")
    with pytest.raises(LongtailError, match="column bias is double"):
        validated(paths, table.set_column(3, "bias", pa.array(bias.astype(float))))


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_the_index_finds_by_score(tmp_path: Path, kind: Any) -> None:
    generator = np.random.default_rng(5)
    vectors = generator.standard_normal((500, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scored = with_bias(vectors, generator.normal(0.0, 0.3, 500).astype(np.float32))
    config = make_config(tmp_path).index.model_copy(update={"kind": kind})
    index = make_index(config, scored)
    queries = as_queries(vectors[:50], 17)
    exact = np.argsort(-(vectors[:50] @ vectors.T + scored[:, 16]), axis=1, kind="stable")[:, :10]
    _, found = index.search(queries, 10)
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(found, exact, strict=True)]
    assert np.mean(shared) > (0.999 if kind == "flat" else 0.95)
    assert recall(index, scored, queries, 10) == pytest.approx(np.mean(shared), abs=1e-6)
