"""Wrong settings of Feast's stores: each is one clear error, and none shows a password."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from longtail.config import Config
from longtail.errors import InputError
from longtail.features.feast.definitions import open_store
from longtail.features.feast.store_settings import place, redacted

PASSWORD = "s3cr3t-w0rd"
SQLITE = {"type": "sqlite", "path": "online.db"}
POSTGRES = {"type": "postgres", "host": "db", "database": "f", "user": "u", "password": PASSWORD}


def project(folder: Path, **settings: Any) -> Config:
    """Write a Feast repository that has only settings."""
    content = {
        "project": "p",
        "provider": "local",
        "entity_key_serialization_version": 3,
        "registry": {"registry_type": "sql", "path": "sqlite:///registry.db"},
        "online_store": SQLITE,
        "offline_store": {"type": "duckdb"},
    }
    text = yaml.safe_dump(content | settings)
    (folder / "feature_store.yaml").write_text(text)
    return Config(feature_repo=folder, home=folder / "home")


def sql(path: str, **settings: Any) -> dict[str, Any]:
    return {"registry_type": "sql", "path": path, **settings}


def refusal(config: Config) -> str:
    with pytest.raises(InputError) as caught:
        open_store(config)
    shown: BaseException | None = caught.value
    while shown is not None:  # a log shows the errors that caused it, too
        assert PASSWORD not in str(shown)
        shown = shown.__cause__
    return str(caught.value)


def without(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a package one that is not installed, whether it is or not."""
    for name in list(sys.modules):
        if name.split(".")[0] == module or "postgres" in name:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize("key", ["path", "read_path"])
def test_a_registry_whose_driver_is_missing_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    without("psycopg", monkeypatch)
    url = f"postgresql+psycopg://u:{PASSWORD}@db/f"
    registry = sql("sqlite:///registry.db") | {key: url}
    said = refusal(project(tmp_path, registry=registry))
    assert said.startswith(
        f"the registry ({registry['path'].split('://')[0]}) in {tmp_path / 'feature_store.yaml'} "
        "needs the Python package `psycopg`, which is not installed: "
        "pip install 'feast[postgres]==0.67.0'"
    )


@pytest.mark.parametrize(
    ("key", "settings", "module", "words", "cure"),
    [
        ("online_store", POSTGRES, "psycopg", "the online store (postgres)", "feast[postgres]"),
        (
            *("online_store", {"type": "mysql"}, "pymysql"),
            *("the online store (mysql)", "feast[mysql]"),
        ),
        (
            *("offline_store", POSTGRES, "psycopg"),
            *("the offline store (postgres)", "feast[postgres]"),
        ),
    ],
)
def test_a_store_whose_driver_is_missing_names_the_package(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    settings: dict[str, Any],
    module: str,
    words: str,
    cure: str,
) -> None:
    without(module, monkeypatch)
    said = refusal(project(tmp_path, **{key: settings}))
    assert said.startswith(f"{words} in {tmp_path / 'feature_store.yaml'} needs the Python package")
    assert f"pip install '{cure}==0.67.0'" in said


@pytest.mark.parametrize(
    "url",
    [
        f"nonsense+driver://u:{PASSWORD}@db/f",
        f"postgresql+psycopg://u:{PASSWORD}@db:port/f",
        f"postgresql+psycopg://u:x@{PASSWORD}:{PASSWORD}/f",
        f"u:{PASSWORD}@db/f",
    ],
)
def test_what_is_no_url_of_a_database_is_refused_without_showing_it(
    tmp_path: Path, url: str
) -> None:
    said = refusal(project(tmp_path, registry=sql(url)))
    assert said.startswith(f"`registry.path` in {tmp_path / 'feature_store.yaml'} is not the URL")
    assert "DIALECT+DRIVER://USER:PASSWORD@HOST:PORT/DATABASE" in said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"online_store": {**SQLITE, "vector_enabled": PASSWORD}}, "`vector_enabled`"),
        ({"online_store": {**SQLITE, "password": PASSWORD}}, "`password`: Extra inputs"),
        ({"registry": sql("sqlite:///r.db", cache_ttl_seconds=PASSWORD)}, "`cache_ttl_seconds`"),
        ({"online_store": {"type": "none", "password": PASSWORD}}, "OnlineStore"),
    ],
)
def test_settings_that_feast_refuses_are_named_without_their_values(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    message = refusal(project(tmp_path, **settings))
    assert message.startswith(
        f"{tmp_path / 'feature_store.yaml'} is not a valid Feast configuration: "
    )
    assert said in message


def test_what_is_no_yaml_is_told_by_its_line(tmp_path: Path) -> None:
    config = project(tmp_path)
    with (tmp_path / "feature_store.yaml").open("a") as file:
        file.write(f"password: @{PASSWORD}\n")
    said = refusal(config)
    lines = (tmp_path / "feature_store.yaml").read_text().splitlines()
    assert f"is not a valid Feast configuration: it is no YAML in line {len(lines)}: " in said


@pytest.mark.parametrize(
    ("online_store", "words"),
    [
        (SQLITE, "sqlite at {home}/feast/online.db"),
        ({"type": "redis", "connection_string": f"a:1,b:2,password={PASSWORD},db=0"}, "redis at "),
        (
            {"type": "remote", "path": f"https://u:{PASSWORD}@host:6566/x?token={PASSWORD}"},
            "remote at https://host:6566/x",
        ),
    ],
)
def test_a_place_has_no_password(tmp_path: Path, online_store: dict[str, Any], words: str) -> None:
    store = open_store(project(tmp_path, online_store=online_store))
    said = place(store.config, "online store")
    assert said.startswith(words.format(home=tmp_path / "home"))
    assert PASSWORD not in said


def test_an_embedded_registry_is_placed_by_its_file(tmp_path: Path) -> None:
    store = open_store(project(tmp_path))
    assert place(store.config, "registry") == f"sqlite at {tmp_path}/home/feast/registry.db"
    assert place(store.config, "offline store") == "duckdb"


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        ("user u, pw", {"password": "pw", "user": "u"}, "user u, ***"),
        ("no host b%40c, b@c", {"path": "x://a:b%40c@host"}, "no host ***, ***"),
        ("x://a:b@c failed", {}, "x://a:***@c failed"),
        ("bad key K3Y", {"online": {"keys": [{"api_key": "K3Y"}]}}, "bad key ***"),
        ("bad W", {"connection_string": "h:1,password=W,db=0"}, "bad ***"),
        ('user "feast"', {"password": "feast", "user": "feast"}, 'user "feast"'),
        ("line 12", {"password": 12}, "line ***"),
    ],
)
def test_passwords_of_the_settings_are_hidden(
    text: str, settings: dict[str, Any], said: str
) -> None:
    assert redacted(text, settings) == said


def test_an_idle_connection_of_a_registry_is_tested_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "longtail.features.feast.definitions.require_registry_driver", lambda *_: None
    )
    url = f"postgresql+psycopg://u:{PASSWORD}@db/f"

    def used(**settings: Any) -> dict[str, Any]:
        registry = open_store(project(tmp_path, registry=sql(url, **settings))).config.registry
        found: dict[str, Any] = registry.sqlalchemy_config_kwargs
        return found

    assert used() == {"echo": False, "pool_pre_ping": True}
    given = {"pool_pre_ping": False, "pool_size": 3}
    assert used(sqlalchemy_config_kwargs=given) == {"echo": False, **given}
