"""The counts of one day plus the next day's changes, compared with a full count."""

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, write_json
from longtail.config import Config, CorrelationConfig
from longtail.correlation.mine import mine_correlations
from longtail.correlation.pair_counts import PairCounts, changes
from longtail.features.schema import Feature, Schema

NAMES = ["item_id", "section", "tags", "year"]
DAYS = [date(2025, 8, 9), date(2025, 8, 10), date(2025, 8, 12)]


def make_items(ids: np.ndarray, seed: int) -> pa.Table:
    """Make items with values that depend on id and seed, or on the id alone for a third of them."""
    rows = []
    for number in ids:
        generator = np.random.default_rng([int(number), seed if number % 3 else 0])
        tags = [f"t{t}" for t in generator.integers(0, 9, generator.integers(0, 4))]
        section = None if generator.random() < 0.1 else f"s{generator.integers(0, 5)} \0 🐍"
        rows.append((f"item {number}", section, tags, int(generator.integers(0, 4))))
    item_id, section, tags, year = (list(column) for column in zip(*rows, strict=True))
    return pa.table(
        {
            "item_id": item_id,
            "section": pa.array(section, pa.string()),
            "tags": pa.array(tags, pa.list_(pa.string())),
            "year": pa.array(year),
        }
    )


BEFORE = make_items(np.arange(0, 150), seed=1)
AFTER = make_items(np.arange(30, 190), seed=2)  # some items gone, changed, unchanged and new


@pytest.mark.parametrize("missing", ["value", "leave_out"])
def test_yesterdays_counts_and_the_changes_are_todays_counts(tmp_path: Path, missing: str) -> None:
    backend = ibis.duckdb.connect()
    backend.con.register("before", BEFORE)
    backend.con.register("after", AFTER)
    before, after = backend.table("before"), backend.table("after")
    yesterday, merged, full = (
        PairCounts(tmp_path / name, NAMES, "item_id", backend) for name in ("a", "b", "c")
    )
    yesterday.count(before, missing)
    full.count(after, missing)
    added, removed = changes(before, after, NAMES)
    changed = added.count().to_pyarrow().as_py()
    assert 40 < changed < 160  # not all, because unchanged items are not counted again
    merged.add(yesterday, added, removed, missing)
    backend_names = [(name,) for name in NAMES] + [("section", "tags"), ("tags", "year")]
    for names in backend_names:
        values = [f"value_{position}" for position in range(len(names))]
        found, expected = (
            {
                tuple(row[v] for v in values): (row["weight"], row["num_parts"])
                for row in counts.joint(names).to_pyarrow().to_pylist()
            }
            for counts in (merged, full)
        )
        assert found.keys() == expected.keys()
        for key, (weight, num_parts) in expected.items():
            assert found[key][0] == pytest.approx(weight, abs=1e-9)
            assert found[key][1] == num_parts
    backend.disconnect()


@pytest.fixture
def make_day(tmp_path: Path) -> Callable[[date, pa.Table], None]:
    def make(day: date, items: pa.Table) -> None:
        folder = RunPaths(make_config(tmp_path), day).catalogue
        folder.mkdir(parents=True)
        item = tuple(
            Feature(name, "item", kind, "string", name, 8, is_id=name == "item_id")  # type: ignore[arg-type]
            for name, kind in zip(NAMES, ["single", "single", "multi", "single"], strict=True)
        )
        query = Feature("query_id", "query", "single", "string", "query_query_id", 8, is_id=True)
        write_json(folder / "schema.json", Schema((query,), item).to_json())
        pq.write_table(items, folder / "items.parquet")
        write_json(folder / "stamp.json", {"fingerprint": f"of {day}"})

    return make


def make_config(home: Path, **settings: object) -> Config:
    correlation = CorrelationConfig(measure="mutual_information", **settings)  # type: ignore[arg-type]
    return Config(feature_repo=home, home=home, correlation=correlation)


def test_mining_goes_on_from_the_counts_of_the_day_before(
    tmp_path: Path, make_day: Callable[[date, pa.Table], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "longtail.correlation")
    make_day(DAYS[0], BEFORE)
    make_day(DAYS[2], AFTER)
    config = make_config(tmp_path, keep_counts=True)
    mine_correlations(config, DAYS[0])
    assert "counted in full" in caplog.text
    kept = RunPaths(config, DAYS[0]).folder / "pair_counts"
    caplog.clear()
    found = mine_correlations(config, DAYS[2])
    assert "the counts of 2025-08-09 and the changes since" in caplog.text
    expected = mine_correlations(make_config(tmp_path), DAYS[2])
    assert np.array(found["matrix"]) == pytest.approx(np.array(expected["matrix"]), abs=1e-9)
    # `adjusted` from stored counts equals `adjusted` from the catalogue, too.
    found = mine_correlations(config, DAYS[2], measure="adjusted")
    expected = mine_correlations(make_config(tmp_path), DAYS[2], measure="adjusted")
    assert np.array(found["matrix"]) == pytest.approx(np.array(expected["matrix"]), abs=1e-9)

    # Stored counts with other settings, or of a catalogue that was made again, are not reused.
    for change in ("settings", "catalogue"):
        shutil.rmtree(RunPaths(config, DAYS[2]).folder / "pair_counts")
        manifest = json.loads((kept / "manifest.json").read_text())
        if change == "settings":
            manifest["settings"]["missing"] = "leave_out"
        else:
            manifest["settings"]["missing"] = "value"
            manifest["catalogue"] = "another one"
        write_json(kept / "manifest.json", manifest)
        caplog.clear()
        shutil.rmtree(RunPaths(config, DAYS[2]).correlations_by("normalized"), ignore_errors=True)
        mine_correlations(config, DAYS[2], measure="normalized")
        assert "counted in full" in caplog.text


def test_a_budget_samples_items_and_gives_each_figure_its_error(
    tmp_path: Path, make_day: Callable[[date, pa.Table], None]
) -> None:
    generator = np.random.default_rng(0)
    num_items = 20_000
    section = generator.integers(0, 5, num_items)
    year = (section + generator.integers(0, 3, num_items)) % 6
    items = pa.table(
        {
            "item_id": [f"item {number}" for number in range(num_items)],
            "section": [f"s{s}" for s in section],
            "tags": pa.array([[f"t{y}"] for y in year]),
            "year": pa.array(year),
        }
    )
    make_day(DAYS[0], items)
    exact = mine_correlations(make_config(tmp_path), DAYS[0])
    assert (exact["errors"], exact["sample_fraction"], exact["num_items"]) == (None, 1.0, num_items)
    found = mine_correlations(make_config(tmp_path, row_budget=3_000), DAYS[0])
    assert found["sample_fraction"] == 1 / 8
    assert 2_300 < found["num_items"] < 2_700
    errors, differences = (
        np.array(found["errors"]),
        np.abs(np.array(found["matrix"]) - np.array(exact["matrix"])),
    )
    assert errors.shape == differences.shape == (4, 4)
    # The entropy of an id is ln n, so each half of the sample is off by ln 2.
    assert errors[0, 0] == pytest.approx(np.log(2), abs=0.02)
    among = np.ix_([1, 2, 3], [1, 2, 3])
    assert 0 < differences[among].max() < 4 * errors[among].max() < 0.2
    assert (differences[among] <= 4 * errors[among] + 0.01).all()
