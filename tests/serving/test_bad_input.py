"""Wrong input and damaged files: each raises one clear error, and the process keeps serving.

The process is this one, with one client, neighbours, encoder and recommender for a whole test.
`Service.assert_serves` compares their answers with the files, before and after.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pytest

from longtail.artifacts import VersionPaths, read_json, write_json
from longtail.embeddings.publish import publish, publish_query_features, rollback
from longtail.embeddings.versions import verify_version
from longtail.errors import InputError, LongtailError
from longtail.serving import EmbeddingClient, ItemEncoder, Neighbours, Recommender
from tests.publications import DAYS, Published

FIRST, SECOND, *_ = DAYS
ITEM = "item-003"


@dataclass
class Service:
    """The objects that one serving process keeps."""

    project: Published
    client: EmbeddingClient
    neighbours: Neighbours
    encoder: ItemEncoder
    recommender: Recommender

    @property
    def calls(self) -> dict[str, Callable[[list[Any]], object]]:
        """The calls that take a list of keys."""
        return {
            "lookup": self.client.lookup,
            "neighbours": lambda keys: self.neighbours.of_items(keys, 3),
            "recommend": lambda keys: self.recommender.recommend_many(keys, 3),
        }

    def assert_serves(self, day: date) -> None:
        """Check a lookup, a search, a new item and a recommendation, all of one version."""
        self.assert_looks_up(day)
        version, vectors = self.project.versions[day], self.project.vectors(day)
        found = self.neighbours.of_item(ITEM, 3)
        assert found["version"] == version
        for result in found["results"]:
            expected = float(vectors[ITEM] @ vectors[result["item"]])
            assert result["score"] == pytest.approx(expected, abs=1e-5)
        assert self.encoder.encode({"section": "section-1"}).version == version
        assert self.recommender.recommend(ITEM, 3)["version"] == version

    def assert_looks_up(self, day: date) -> None:
        answer = self.client.lookup([ITEM])
        assert answer["version"] == self.project.versions[day]
        found = np.array(answer["embeddings"][ITEM], np.float32)
        np.testing.assert_array_equal(found, self.project.vectors(day)[ITEM])

    def paths(self, day: date) -> VersionPaths:
        return VersionPaths(self.project.config, self.project.versions[day])


@pytest.fixture
def service(project: Published) -> Service:
    """A service with the first day published and loaded."""
    config = project.config
    publish(config, FIRST)
    publish_query_features(config, FIRST)
    found = Service(
        project,
        EmbeddingClient(config),
        Neighbours(config),
        ItemEncoder(config),
        Recommender(config),
    )
    found.assert_serves(FIRST)
    return found


def sign(paths: VersionPaths) -> None:
    """Write the hashes of damaged files to the manifest, so that only their content shows it."""
    manifest = read_json(paths.manifest)
    for name in manifest["files"]:
        content = (paths.folder / name).read_bytes()
        manifest["files"][name] = hashlib.sha256(content).hexdigest()
    write_json(paths.manifest, manifest)


def test_an_unknown_item(service: Service) -> None:
    answer = service.client.lookup([ITEM, "no-such-item"])
    assert answer["missing"] == ["no-such-item"]
    assert answer["embeddings"]["no-such-item"] is None
    with pytest.raises(LongtailError, match="'no-such-item' is not in the served version"):
        service.neighbours.of_item("no-such-item")
    with pytest.raises(LongtailError, match="query 'no-such-query' has no online features"):
        service.recommender.recommend("no-such-query")
    service.assert_serves(FIRST)


def test_an_empty_list(service: Service) -> None:
    for call in service.calls.values():
        with pytest.raises(InputError, match=r"name at least one (item|query), as a list"):
            call([])
    with pytest.raises(InputError, match="a list of at least one dict"):
        service.encoder.encode([])
    service.assert_serves(FIRST)


@pytest.mark.slow
def test_a_hundred_thousand_keys_at_once(service: Service) -> None:
    """A lookup answers all keys; a search raises the error about the first unknown key."""
    known = list(service.project.vectors(FIRST))
    keys = [*known, *(f"none-{number}" for number in range(100_000 - len(known)))]
    answer = service.client.lookup(keys)
    assert len(answer["embeddings"]) == 100_000
    assert answer["missing"] == keys[len(known) :]
    for item, vector in service.project.vectors(FIRST).items():
        np.testing.assert_array_equal(np.array(answer["embeddings"][item], np.float32), vector)
    with pytest.raises(LongtailError, match="'none-0' is not in the served version"):
        service.neighbours.of_items(keys)
    with pytest.raises(LongtailError, match="query 'none-0' has no online features"):
        service.recommender.recommend_many(keys)
    rows = [{"item_id": key} for key in keys]
    assert service.encoder.encode(rows).vectors.shape == (100_000, 8)
    service.assert_serves(FIRST)


@pytest.mark.parametrize(
    "keys",
    [
        [ITEM, 7],
        [ITEM, None],
        [ITEM, b"item-004"],
        [[ITEM]],
        ITEM,
        {ITEM},
        {ITEM: 1},
        7,
        None,
        np.array([ITEM, "item-004"]),
        (key for key in [ITEM]),
    ],
    ids=lambda keys: type(keys).__name__,
)
def test_a_key_of_another_type(service: Service, keys: Any) -> None:
    for call in service.calls.values():
        with pytest.raises(InputError, match=r"as a list of strings|is not a string"):
            call(keys)
    service.assert_serves(FIRST)


def test_a_nul_byte(service: Service) -> None:
    answer = service.client.lookup([ITEM, f"{ITEM}\0", "\0"])
    assert answer["missing"] == [f"{ITEM}\0", "\0"]
    with pytest.raises(LongtailError, match="is not in the served version"):
        service.neighbours.of_item(f"{ITEM}\0")
    with pytest.raises(LongtailError, match="has no online features"):
        service.recommender.recommend(f"{ITEM}\0")
    unknown = service.encoder.encode({"section": "section-1\0"}).vectors
    np.testing.assert_array_equal(unknown, service.encoder.encode({}).vectors)
    service.assert_serves(FIRST)


def test_a_corrupt_parquet(service: Service) -> None:
    """A damaged version is not published; a served version is in memory and stays."""
    coming, served = service.paths(SECOND), service.paths(FIRST)
    for paths in (coming, served):
        content = paths.embeddings.read_bytes()
        paths.embeddings.write_bytes(content[: len(content) // 2])
    sign(coming)
    with pytest.raises(
        LongtailError, match=r"item_embeddings\.parquet is not published: it cannot"
    ):
        publish(service.project.config, SECOND)
    # A process that starts now finds the damage.
    with pytest.raises(LongtailError, match=r"item_embeddings\.parquet is not the file that was"):
        verify_version(service.project.config, served.version)
    served.embeddings.write_bytes(content)
    service.assert_serves(FIRST)


def test_a_truncated_index(service: Service) -> None:
    """Loading finds it. Lookups and encoding go on; no other index is searched instead."""
    paths = service.paths(SECOND)
    content = paths.index.read_bytes()
    paths.index.write_bytes(content[: len(content) // 2])
    with pytest.raises(LongtailError, match=r"items\.faiss is not the file that was committed"):
        publish(service.project.config, SECOND)
    service.assert_serves(FIRST)
    sign(paths)
    publish(service.project.config, SECOND)
    for _ in range(2):
        with pytest.raises(LongtailError, match=r"items\.faiss cannot be read: export"):
            service.neighbours.of_item(ITEM)
        with pytest.raises(LongtailError, match=r"items\.faiss cannot be read: export"):
            service.recommender.recommend(ITEM)
    service.assert_looks_up(SECOND)
    assert service.encoder.encode({}).version == service.project.versions[SECOND]
    rollback(service.project.config)
    service.assert_serves(FIRST)


@pytest.mark.parametrize("name", ["item_embeddings.parquet", "items.faiss", "encoder.safetensors"])
def test_a_manifest_with_another_hash(service: Service, name: str) -> None:
    paths = service.paths(SECOND)
    manifest = read_json(paths.manifest)
    write_json(paths.manifest, {**manifest, "files": {**manifest["files"], name: "0" * 64}})
    with pytest.raises(LongtailError, match=f"{name} is not the file that was committed .its hash"):
        publish(service.project.config, SECOND)
    service.assert_serves(FIRST)
    write_json(paths.manifest, manifest)
    publish(service.project.config, SECOND)
    service.assert_serves(SECOND)
