"""Paths that are URIs, or begin with `~`: refused, or expanded, before they become folders."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from assets.run import dagster_home
from longtail.cli import main
from longtail.config import config_file, load_config, local_path, refuse_uri
from longtail.errors import InputError
from tests.blocks import write_blocks
from tests.integration.conftest import child_environment

URIS = [
    "s3://lake/home",
    "S3://lake/home",
    "gs://lake/home",
    "abfss://container@account.dfs.core.windows.net/home",
    "hdfs://name:8020/home",
    "dbfs:/mnt/home",
    "memory://home",
    "https://host/home",
    "file:///data/home",
    "file:/data/home",
    "file://localhost/data/home",
    "s3:/lake/home",  # what pathlib makes of it
    " s3://lake/home",
]
LOCAL = ["home", "./home", "/data/home", "../s3/home", "c:/home", "s3:", "data/s3://lake", "a:b/c"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory of a user whose home folder is `user` in it."""
    for name in ("LONGTAIL_HOME", "LONGTAIL_CONFIG", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder / "user"))
    return folder


def configuration(folder: Path, **settings: str) -> Path:
    file = folder / "longtail.yaml"
    file.write_text(yaml.safe_dump({"feature_repo": "feature_repo", **settings}), "utf-8")
    return file


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Call the entry point in this process, and return the exit code."""
    monkeypatch.setattr(sys, "argv", ["longtail", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize("uri", URIS)
def test_a_uri_is_refused_as_text_and_as_a_path(uri: str) -> None:
    for value in (uri, Path(uri)):
        for refuse in (refuse_uri, local_path):
            with pytest.raises(InputError, match=r"^--items is the URI \w+://"):
                refuse(value, "--items")


@pytest.mark.parametrize("path", LOCAL)
def test_any_other_path_stays_as_it_is(path: str) -> None:
    refuse_uri(path, "--items")
    refuse_uri(Path(path), "--items")
    assert local_path(path, "--items") == Path(path)


@pytest.mark.parametrize("uri", ["s3://lake/home", "s3:/lake/home"])
def test_the_message_says_what_to_type(uri: str) -> None:
    with pytest.raises(InputError) as caught:
        refuse_uri(Path(uri), "LONGTAIL_HOME")
    assert str(caught.value) == (
        "LONGTAIL_HOME is the URI s3://lake/home: only a path of this machine can be used here. "
        "Copy or mount the place that it names, and give the path, such as /mnt/lake/home"
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("uri", ["file:///data/home", "file:/data/home", "file://host/data/home"])
def test_the_path_of_a_file_uri_is_in_the_message(uri: str) -> None:
    with pytest.raises(InputError, match=r"so give the path alone, /data/home$"):
        refuse_uri(uri, "LONGTAIL_HOME")


def test_passwords_and_signatures_are_not_shown() -> None:
    uri = "s3://key:secret@lake/home?signature=secret#secret"
    with pytest.raises(InputError) as caught:
        refuse_uri(uri, "LONGTAIL_HOME")
    assert "secret" not in str(caught.value)
    assert "s3://key:...@lake/home:" in str(caught.value)
    assert str(caught.value).endswith(" /mnt/lake/home")


def test_a_uri_in_LONGTAIL_HOME(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = configuration(here)
    monkeypatch.setenv("LONGTAIL_HOME", "s3://lake/home")
    with pytest.raises(InputError, match=r"^LONGTAIL_HOME is the URI s3://lake/home: "):
        load_config(file)


@pytest.mark.parametrize("key", ["home", "feature_repo", "feature_store"])
def test_a_uri_in_the_file(here: Path, key: str) -> None:
    file = configuration(here, **{key: "s3://lake/home"}, nonsense="1")
    with pytest.raises(InputError) as caught:
        load_config(file)
    uri, unknown = caught.value.problems
    assert uri.startswith(f"`{key}` is the URI s3://lake/home: only a path of this machine ")
    assert unknown.startswith("`nonsense` does not exist")
    assert str(file) in str(caught.value)


def test_a_uri_as_the_configuration(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for read in (config_file, load_config):
        for value in ("s3://lake/longtail.yaml", Path("s3://lake/longtail.yaml")):
            with pytest.raises(InputError, match=r"\(--config\) is the URI s3://lake/longtail"):
                read(value)
    monkeypatch.setenv("LONGTAIL_CONFIG", "s3://lake/longtail.yaml")
    for read in (config_file, load_config):
        with pytest.raises(InputError, match=r"^LONGTAIL_CONFIG is the URI s3://lake/longtail"):
            read()


def test_a_uri_in_DAGSTER_HOME(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(configuration(here))
    assert dagster_home(config) == here / ".longtail" / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", "s3://lake/dagster")
    with pytest.raises(InputError, match=r"^DAGSTER_HOME is the URI s3://lake/dagster"):
        dagster_home(config)
    # Dagster itself accepts `~`, and refuses a relative path.
    monkeypatch.setenv("DAGSTER_HOME", "~/dagster")
    assert dagster_home(config) == here / "user" / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", "dagster")
    assert dagster_home(config) == here / "dagster"


@pytest.mark.parametrize("command", ["check", "run", "dataset", "train", "status", "versions"])
def test_a_command_refuses_a_uri_and_writes_nothing(
    command: str, here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = configuration(here)

    def refused(*arguments: object) -> str:
        before = sorted(here.rglob("*"))
        assert call(monkeypatch, command, *arguments) == 2
        assert sorted(here.rglob("*")) == before
        streams = capfd.readouterr()  # `check` reports on stdout, in lines of the terminal's width
        return " ".join((streams.out + streams.err).split())

    assert "(--config) is the URI s3://lake/longtail.yaml" in refused(
        "--config", "s3://lake/longtail.yaml"
    )
    monkeypatch.setenv("LONGTAIL_HOME", "s3://lake/home")
    assert "LONGTAIL_HOME is the URI s3://lake/home" in refused("--config", file)
    monkeypatch.delenv("LONGTAIL_HOME")
    configuration(here, home="s3://lake/home")
    assert "`home` is the URI s3://lake/home" in refused("--config", file)


@pytest.mark.parametrize("command", [("-m", "longtail.cli", "run"), ("-m", "assets.run")])
def test_a_run_refuses_a_uri_for_dagster_and_writes_nothing(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    file = write_blocks(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, *command, f"--config={file}"],
        env=child_environment(DAGSTER_HOME="s3://lake/dagster"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    message = "DAGSTER_HOME is the URI s3://lake/dagster: only a path of this machine"
    if done.stdout:  # of `assets.run`: its events
        assert json.loads(done.stdout)["error"].startswith(message)
    else:
        assert message in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tilde_is_the_home_folder_of_the_user(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shells expand it outside quotes; quotes, YAML files and `--config=~/x` leave it."""
    user = here / "user"
    user.mkdir()
    file = configuration(user, home="~/home", feature_repo="~/repo", feature_store="~/store.yaml")
    config = load_config("~/longtail.yaml")
    assert config == load_config(file)
    assert (config.home, config.feature_repo) == (user / "home", user / "repo")
    assert config.feature_store == user / "store.yaml"
    monkeypatch.setenv("LONGTAIL_CONFIG", "~/longtail.yaml")
    monkeypatch.setenv("LONGTAIL_HOME", "~/other")
    assert config_file() == file
    assert load_config().home == user / "other"
    assert not (here / "~").exists()


def test_a_tilde_before_a_name_that_is_no_user(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = configuration(here)
    monkeypatch.setenv("LONGTAIL_HOME", "~no-such-user/home")
    with pytest.raises(InputError, match=r"^LONGTAIL_HOME is ~no-such-user/home, and ~no-such-us"):
        load_config(file)
