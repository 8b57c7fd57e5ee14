"""Tables, images and charted figures of an asset's page."""

import base64
import json
from pathlib import Path

from dagster import TableMetadataValue

from assets.metadata import charted, figures, health_figures, image, slice_table
from assets.plots import loss_curve

METRICS = {
    "overall": {"recall@50": 0.5, "num_pairs": 10},
    "tail": {"recall@50": 0.25, "num_pairs": 4},
}


def test_only_plain_values_are_figures() -> None:
    summary = {"version": "v", "num_items": 3, "loss": 0.5, "parent": None, "nested": {"a": 1}}
    assert figures(summary) == {"version": "v", "num_items": 3, "loss": 0.5}


def test_metrics_are_a_row_a_slice_and_a_figure_each() -> None:
    table = slice_table(METRICS)
    assert isinstance(table, TableMetadataValue)
    assert [record.data["slice"] for record in table.records] == ["overall", "tail"]
    assert table.records[1].data["recall@50"] == 0.25
    assert charted(METRICS)["tail_recall_at_50"] == 0.25


def test_health_is_two_tables_and_a_figure_each() -> None:
    health = {
        "slices": {
            "overall": {"num_items": 9, "uniformity": -3.5, "never_retrieved": 0.25},
            "head": {"num_items": 0, "uniformity": None, "never_retrieved": None},
        },
        "effective_rank": 7.5,
        "dim": 16,
        "popularity_correlation": {"times_retrieved": 0.5, "norm": None},
        "probes": {
            "section": {"accuracy": 0.75, "majority": 0.5, "num_classes": 3, "num_items": 40}
        },
    }
    metadata = health_figures(health)
    numbers = {name: value for name, value in metadata.items() if isinstance(value, int | float)}
    assert numbers == {
        "overall_num_items": 9,
        "overall_uniformity": -3.5,
        "overall_never_retrieved": 0.25,
        "head_num_items": 0,
        "effective_rank": 7.5,
        "popularity_correlation_times_retrieved": 0.5,
        "section_probe_accuracy": 0.75,
        "section_probe_majority": 0.5,
    }
    slices, probes = metadata["embedding_health"], metadata["linear_probes"]
    assert isinstance(slices, TableMetadataValue)
    assert isinstance(probes, TableMetadataValue)
    assert slices.records[1].data["uniformity"] is None
    assert probes.records[0].data == {
        "left-out feature": "section",
        "accuracy": 0.75,
        "majority": 0.5,
        "num_classes": 3,
        "num_items": 40,
    }
    assert "linear_probes" not in health_figures({**health, "probes": {}})


def test_the_loss_curve_is_a_small_image_inside_its_text(tmp_path: Path) -> None:
    log = tmp_path / "training.jsonl"
    lines = [{"step": n, "loss": 9.0 / n, "main_loss": 8.0 / n} for n in range(1, 20)]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = loss_curve(log, tmp_path / "loss.png")
    text = image(file, "loss").value
    start = "![loss](data:image/png;base64,"
    assert text.startswith(start)
    content = base64.b64decode(text.removeprefix(start).split(")")[0])
    assert content == file.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert str(file) in text


def test_a_large_image_is_named_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    file.write_bytes(b"\x89PNG" + bytes(400_000))
    assert image(file, "large").value == f"`{file}`"
