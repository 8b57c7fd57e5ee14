"""The exported embeddings against the torch encoder, and what an export refuses."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config
from longtail.embeddings import export
from longtail.embeddings.export import export_catalogue
from longtail.encoder.torch_encoder import load_encoder
from longtail.errors import LongtailError
from longtail.features.encoding import encode_table
from longtail.features.vocabulary import load_vocabularies
from tests.evaluation.small_project import DIM, make_config, make_day, make_version

DAY = date(2025, 8, 9)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(tmp_path)


@pytest.fixture
def paths(config: Config) -> VersionPaths:
    version = make_version(config, make_day(config, DAY, 40), seed=1)
    write_json(RunPaths(config, DAY).approved, {"version": version})
    return VersionPaths(config, version)


def test_exports_every_catalogue_item_once(
    config: Config, paths: VersionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "ROWS_AT_A_TIME", 7)  # several batches are written
    summary = export_catalogue(config, DAY)
    assert summary == {"version": paths.version, "num_items": 37, "embedding_dim": DIM}
    exported = pq.read_table(paths.embeddings)
    catalogue = pq.read_table(RunPaths(config, DAY).catalogue / "items.parquet")
    assert exported["item_id"].to_pylist() == catalogue["item_id"].to_pylist()
    assert exported.schema.field("item_id").type == pa.string()
    assert exported.schema.field("embedding").type == pa.list_(pa.float32(), DIM)
    assert set(exported["model_version"].to_pylist()) == {paths.version}
    encoder, vocabularies = load_encoder(paths.folder), load_vocabularies(paths.vocabularies)
    for row, vector in enumerate(exported["embedding"].to_pylist()):
        rows = encode_table(catalogue.slice(row, 1), encoder.schema.item, vocabularies)
        np.testing.assert_allclose(vector, encoder.encode("item", rows)[0], atol=1e-6)
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_is_not_written_again_unless_the_model_changes(config: Config, paths: VersionPaths) -> None:
    export_catalogue(config, DAY)
    written = paths.embeddings.stat().st_mtime_ns
    export_catalogue(config, DAY)
    assert paths.embeddings.stat().st_mtime_ns == written
    tensors = safetensors.torch.load_file(paths.encoder)
    tensors["item_tower.default"] += 1.0
    safetensors.torch.save_file(tensors, paths.encoder)
    export_catalogue(config, DAY)
    assert paths.embeddings.stat().st_mtime_ns != written
    written = paths.embeddings.stat().st_mtime_ns
    write_json(paths.manifest, {"version": paths.version})  # a committed version stays as it is
    write_json(RunPaths(config, DAY).catalogue / "stamp.json", {"fingerprint": "another"})
    export_catalogue(config, DAY)
    assert paths.embeddings.stat().st_mtime_ns == written
    # Not even where its embeddings have gone.
    seen = paths.seen_items.stat().st_mtime_ns
    paths.embeddings.unlink()
    export_catalogue(config, DAY)
    assert paths.seen_items.stat().st_mtime_ns == seen


def test_seen_items_of_an_export_that_did_not_end_are_written_again(
    config: Config, paths: VersionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_catalogue(config, DAY)
    before = paths.seen_items.read_bytes()
    stamp = RunPaths(config, DAY).catalogue / "stamp.json"
    content = read_json(stamp)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    # Another catalogue, whose export ends between its two files; then the first one again.
    write_json(stamp, {**content, "fingerprint": "another"})
    with monkeypatch.context() as patched:
        patched.setattr(export, "_write_embeddings", crash)
        with pytest.raises(KeyboardInterrupt):
            export_catalogue(config, DAY)
    assert paths.seen_items.read_bytes() != before
    write_json(stamp, content)
    export_catalogue(config, DAY)
    assert paths.seen_items.read_bytes() == before


def test_needs_an_approval(config: Config, paths: VersionPaths) -> None:
    RunPaths(config, DAY).approved.unlink()
    with pytest.raises(LongtailError, match=r"no version of 2025-08-09 is approved .*longtail run"):
        export_catalogue(config, DAY)
    assert not paths.embeddings.exists()


def test_a_vector_that_is_not_finite_is_never_exported(config: Config, paths: VersionPaths) -> None:
    tensors = safetensors.torch.load_file(paths.encoder)
    tensors["embedding_bags.embedding_bags.package.weight"][5] = torch.nan
    safetensors.torch.save_file(tensors, paths.encoder)
    with pytest.raises(LongtailError, match=r"1 of 37 vectors are not finite unit vectors.*'p"):
        export_catalogue(config, DAY)
    assert not paths.embeddings.exists()


def test_an_item_that_stands_twice_is_named(
    config: Config, paths: VersionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RunPaths(config, DAY).catalogue / "items.parquet"
    items = pq.read_table(file)
    pq.write_table(pa.concat_tables([items.slice(0, 8), items.slice(7)]), file)
    for rows in (8, 100):  # the pair stands in two batches, or in one
        monkeypatch.setattr(export, "ROWS_AT_A_TIME", rows)
        with pytest.raises(LongtailError, match="'p007', then 'p007'"):
            export_catalogue(config, DAY)
    assert not paths.embeddings.exists()
