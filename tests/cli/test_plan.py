"""`longtail plan` on a project in which nothing was prepared."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from longtail.cli.plan import _changes
from tests.blocks import write_blocks
from tests.cli.test_commands import call


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the configuration file of a small project."""
    return write_blocks(tmp_path_factory.mktemp("project"))


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)


def test_the_plan_of_a_catalogue_that_does_not_exist_yet(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--json", "--config", project, "--world-size", 64, "--device", "cuda")
    assert call(monkeypatch, "plan", *options, "--scale-vocabulary", 1000) == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["world_size"], document["fits"], document["would_fit"]) == (64, True, [])
    assert [rank["rank"] for rank in document["ranks"]] == list(range(64))
    assert {"rank", "hbm_bytes", "ddr_bytes"} <= set(document["ranks"][0])
    assert call(monkeypatch, "plan", *options) == 0
    unscaled = json.loads(capfd.readouterr().out)
    rows = [{t["name"]: t["num_embeddings"] for t in d["tables"]} for d in (unscaled, document)]
    assert rows[1] == {name: 1000 * number for name, number in rows[0].items()}
    assert {"name", "num_embeddings", "dim", "sharding", "kernel"} <= set(document["tables"][0])


def test_a_plan_that_does_not_fit_says_what_would(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--config", project, "--world-size", 2, "--hbm-gb", 2, "--scale-vocabulary", 1e6)
    assert call(monkeypatch, "plan", *options, "--json") == 1
    streams = capfd.readouterr()
    document = json.loads(streams.out)
    assert not document["fits"]
    assert document["bottleneck"]["memory"]["share"] > 1
    assert document["would_fit"]
    error = streams.err.splitlines()[-1]
    assert error.startswith("Error: the tables do not fit into 2 rank(s); any of these would fit: ")
    assert call(monkeypatch, "plan", *options) == 1
    words = capfd.readouterr().out
    assert "if memory were unlimited" in words
    assert document["bottleneck"]["memory"]["table"] in words


def test_lists_in_a_cure_are_shown() -> None:
    """Rich would take a word in brackets for a style."""
    cure = {"change": "`kernels: [fused]`", "hbm_bytes": 1, "ddr_bytes": 0, "milliseconds": 1.0}
    console = Console(width=80)
    with console.capture() as shown:
        console.print(_changes({"would_fit": [cure]}))
    assert "`kernels: [fused]`" in shown.get()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--world-size", "12"), "12 ranks are not whole machines of 8"),
        (("--world-size", "2", "--device", "tpu"), "--device tpu does not exist: give cuda or cpu"),
        (("--world-size", "0"), "greater than or equal to 1"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    project: Path,
    options: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, "plan", "--config", project, *options) == 2
    streams = capfd.readouterr()
    assert streams.out == ""
    assert message in streams.err
