import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from longtail.config import CorrelationConfig
from longtail.correlation.engine import connected
from longtail.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def test_duckdb_keeps_to_its_memory() -> None:
    with connected(CorrelationConfig(memory_gib=0.5)) as backend:
        limit = backend.con.execute("select current_setting('memory_limit')").fetchone()[0]
    assert limit == "512.0 MiB"


def test_says_how_to_get_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pyspark", "pyspark.sql", "pyspark.errors"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    settings = CorrelationConfig(engine="spark")
    with (
        pytest.raises(InputError, match=r"pip install 'longtail\[spark\]'"),
        connected(settings),
    ):
        pass


def test_says_how_to_get_java(tmp_path: Path) -> None:
    pytest.importorskip("pyspark")
    program = (
        "from longtail.config import CorrelationConfig\n"
        "from longtail.correlation.engine import connected\n"
        "from longtail.errors import InputError\n"
        "try:\n"
        "    with connected(CorrelationConfig(engine='spark')):\n"
        "        print('connected')\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    (tmp_path / "bash").symlink_to("/bin/bash")
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT / "platform")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "apt-get install default-jre-headless" in done.stdout


def test_the_pinned_pyspark_is_one_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (asked,) = map(Requirement, project["optional-dependencies"]["spark"])
    lines = (ROOT / "ops" / "requirements" / "spark.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert asked.specifier.contains(pins["pyspark"])
