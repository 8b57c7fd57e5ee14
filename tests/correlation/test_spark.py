"""Spark, in local mode on a real JVM, gives the same figures as DuckDB.

Skipped if PySpark or Java is missing, unless LONGTAIL_REQUIRE_SPARK is set, as it is in CI.
"""

import importlib.util
import os
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from longtail.artifacts import RunPaths, read_json, write_json
from longtail.config import Config, CorrelationConfig
from longtail.correlation.mine import mine_correlations
from longtail.features.schema import Feature, Schema

ROOT = Path(__file__).resolve().parents[2]
DAYS = (date(2025, 8, 9), date(2025, 8, 10))
NAMES = ["item_id", "section", "tags", "colours", "price"]
MEASURES = ("mutual_information", "normalized", "adjusted")

can_run = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not can_run and "LONGTAIL_REQUIRE_SPARK" not in os.environ,
        reason="needs PySpark (ops/requirements/spark.txt) and Java",
    ),
    # PySpark closes the sockets to its JVM only when the interpreter ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # Spark warns about windows over the whole table; the data here is small.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyspark.*"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of a catalogue with every kind of feature, and values that are hard to handle."""
    home = tmp_path_factory.mktemp("home")
    for seed, day in enumerate(DAYS):
        folder = RunPaths(make_config(home, "duckdb"), day).catalogue
        folder.mkdir(parents=True)
        write_json(folder / "schema.json", make_schema().to_json())
        pq.write_table(make_items(seed), folder / "items.parquet")
        write_json(folder / "stamp.json", {"fingerprint": str(day)})
    return home


def make_schema() -> Schema:
    kinds = {"tags": "multi", "colours": "multi"}
    item = tuple(
        Feature(n, "item", kinds.get(n, "single"), "string", n, 8, is_id=n == "item_id")  # type: ignore[arg-type]
        for n in NAMES
    )
    return Schema((Feature("q", "query", "single", "string", "q", 8, is_id=True),), item)


def make_items(seed: int) -> pa.Table:
    generator = np.random.default_rng(0)
    num_items = 200
    section = generator.choice(
        np.array(["net", "web", "", "NUL \0", "emoji 🐍"]), num_items
    ).tolist()
    tags = [
        [s, *(f"t{t}" for t in generator.integers(0, 6, generator.integers(0, 3)))] for s in section
    ]
    colours = [[int(c) for c in generator.integers(0, 4, n)] for n in generator.integers(0, 3, 200)]
    price = generator.normal(size=num_items).round(1).tolist()
    for number in range(0, num_items, 9):
        section[number], tags[number + 1 if number < 199 else 0] = None, None
        price[number] = None
    section[0] = tags[0] = None
    if seed:  # on the next day some items have changed, and some are gone
        section[10:20] = ["moved"] * 10
        keep = slice(0, 190)
    else:
        keep = slice(0, num_items)
    return pa.table(
        {
            "item_id": [f"item {number}" for number in range(num_items)][keep],
            "section": pa.array(section[keep], pa.string()),
            "tags": pa.array(tags[keep], pa.list_(pa.string())),
            "colours": pa.array(colours[keep], pa.list_(pa.int64())),
            "price": pa.array(price[keep], pa.float64()),
        }
    )


def make_config(home: Path, engine: str, **settings: object) -> Config:
    """Return the correlation section of the example profile, with a home of the test's own."""
    profile = yaml.safe_load((ROOT / "ops" / "profiles" / "spark.yaml").read_text())
    spark = {
        **profile["correlation"]["spark"],
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.warehouse.dir": str(home / "warehouse"),
    }
    correlation = {**profile["correlation"], **settings, "engine": engine, "spark": spark}
    return Config(
        feature_repo=home,
        home=home,
        correlation=CorrelationConfig.model_validate(correlation),
    )


@pytest.mark.timeout(900)
def test_every_figure_is_the_one_of_duckdb(home: Path) -> None:
    for missing in ("value", "leave_out"):
        settings = {"missing": missing, "chance_shuffles": 2, "quantile_bins": 4}
        for measure in MEASURES if missing == "value" else ("adjusted",):
            found, expected = (
                mine_correlations(
                    make_config(home, engine, **settings, measure="normalized"),
                    DAYS[0],
                    measure=measure,  # type: ignore[arg-type]
                )
                for engine in ("spark", "duckdb")
            )
            assert np.array(found["matrix"]) == pytest.approx(
                np.array(expected["matrix"]), abs=1e-9
            )
            assert found["plan"] == expected["plan"]


@pytest.mark.timeout(600)
def test_samples_and_kept_counts_are_those_of_duckdb(home: Path) -> None:
    for day in DAYS:  # counts are not kept with a dense feature, because its bins move
        file = RunPaths(make_config(home, "spark"), day).catalogue / "schema.json"
        schema = read_json(file)
        write_json(file, {**schema, "item": schema["item"][:4]})
    config = make_config(home, "spark", keep_counts=True, measure="mutual_information")
    mine_correlations(config, DAYS[0])
    found = mine_correlations(config, DAYS[1])
    plain = make_config(home, "duckdb", measure="mutual_information")
    expected = mine_correlations(plain, DAYS[1])
    assert np.array(found["matrix"]) == pytest.approx(np.array(expected["matrix"]), abs=1e-9)
    sampled = [
        mine_correlations(
            make_config(home, engine, row_budget=120, measure="normalized"),
            DAYS[0],
            measure="mutual_information",
        )
        for engine in ("spark", "duckdb")
    ]
    assert sampled[0]["sample_fraction"] == sampled[1]["sample_fraction"] == 0.5
    assert sampled[0]["num_items"] == sampled[1]["num_items"]
    for figures in ("matrix", "errors"):
        assert np.array(sampled[0][figures]) == pytest.approx(
            np.array(sampled[1][figures]), abs=1e-9
        )
