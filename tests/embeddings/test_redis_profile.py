"""The shipped Redis profile, with the real command line."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from longtail.cli import main
from longtail.config import load_config
from longtail.embeddings.publish import publish, publish_query_features
from longtail.errors import InputError, LongtailError
from longtail.features.feast.definitions import open_store
from longtail.features.feast.embedding_slots import OnlineStore
from longtail.features.feast.repository import FeatureRepository
from longtail.serving.client import EmbeddingClient
from tests.embeddings.stores import redis_server
from tests.publications import DAYS, NEW, REMOVED, ROOT, Published

PROFILE = ROOT / "ops" / "profiles" / "redis.yaml"


def test_the_profile_differs_from_the_demo_in_its_online_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = load_config(PROFILE)
    demo = load_config(PROFILE.with_name("demo.yaml"))
    assert config.model_copy(update={"feature_store": None}) == demo
    assert config.feature_store is not None
    settings, embedded = (
        yaml.safe_load(file.read_text("utf-8"))
        for file in (config.feature_store, config.feature_repo / "feature_store.yaml")
    )
    assert settings.pop("online_store")["type"] == "redis"
    embedded.pop("online_store")
    assert settings == embedded
    monkeypatch.delenv("LONGTAIL_REDIS", raising=False)
    with pytest.raises(InputError, match=r"redis\.yaml needs LONGTAIL_REDIS in the environment"):
        open_store(config)


@pytest.mark.slow
def test_every_command_works_unchanged(
    project: Published,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "longtail.yaml"
    shipped = load_config(PROFILE).feature_store
    places = {"feature_repo": project.config.feature_repo, "home": project.config.home}
    content = {name: str(place) for name, place in places.items()} | {"feature_store": str(shipped)}
    file.write_text(yaml.safe_dump(content))

    def run(*arguments: str) -> dict[str, object]:
        monkeypatch.setattr(sys, "argv", ["longtail", *arguments, f"--config={file}", "--json"])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        streams = capfd.readouterr()
        assert not caught.value.code, streams.err
        document: dict[str, object] = json.loads(streams.out)
        return document

    with redis_server(tmp_path / "redis") as address:
        monkeypatch.setenv("LONGTAIL_REDIS", address)
        config = load_config(file)
        FeatureRepository(config).apply()
        publish_query_features(config, DAYS[0])
        for day in DAYS[:2]:
            assert publish(config, day)["published"]
        assert run("status")["version"] == project.versions[DAYS[1]]
        embeddings = run("lookup", REMOVED, NEW)["embeddings"]
        assert embeddings == {REMOVED: None, NEW: project.vectors(DAYS[1])[NEW].tolist()}
        assert run("rollback")["version"] == project.versions[DAYS[0]]
        embeddings = run("lookup", REMOVED, NEW)["embeddings"]
        assert embeddings == {REMOVED: project.vectors(DAYS[0])[REMOVED].tolist(), NEW: None}
        client, online = EmbeddingClient(config), OnlineStore(config)
        client.lookup([NEW])
    # The server is gone: each call raises one error, and none hangs.
    with pytest.raises(LongtailError, match=r"the online store failed .*online_store"):
        client.lookup([NEW])
    with pytest.raises(LongtailError, match="the online store failed"):
        online.slot("c").write(["x"], project.vectors(DAYS[0])[REMOVED][None], version="v")
    for publisher in (publish, publish_query_features):
        with pytest.raises(LongtailError, match="the online store failed"):
            publisher(config, DAYS[2])
