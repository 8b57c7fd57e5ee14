"""The table, the sentences and the gate, on figures that are written by hand."""

from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.cli.tables.result_tables import metrics
from longtail.config import Config, GateConfig
from longtail.errors import GateRefusedError
from longtail.evaluation.baselines.comparison import (
    baselines_ahead,
    comparison_rows,
    metrics_by_name,
    remarks,
)
from longtail.evaluation.gate import approve

DAY = date(2025, 8, 9)
VERSION = "20250809-00000002"


def figures(recall: float, precision: float, *, cold: float) -> dict[str, Any]:
    """Return metrics by slice: the same in each, but for the cold recall@50."""
    same = {
        "num_pairs": 10,
        "recall@10": recall / 2,
        "map@10": precision / 2,
        "recall@50": recall,
        "map@50": precision,
    }
    by_slice = {name: dict(same) for name in ("overall", "head", "tail", "cold")}
    by_slice["cold"]["recall@50"] = cold
    return by_slice


def evaluation(item_knn: float = 0.6) -> Any:
    return {
        "version": VERSION,
        "metrics": figures(0.7, 0.4, cold=0.1),
        "baselines": {
            "popularity_ranking": figures(0.3, 0.2, cold=0.0),
            "random_ranking": figures(0.01, 0.01, cold=0.1),
            "tuned": {
                "item_knn": {
                    "settings": {"k": 20},
                    "metrics": figures(item_knn, 0.45, cold=0.0),
                    "notes": ["not tuned"],
                },
                "tfidf_cosine": {"left_out": "no feature is shared"},
            },
        },
        "against_served": None,
    }


AHEAD = [
    f"item_knn finds more: {name} map@10 0.2250 against 0.2000, map@50 0.4500 against 0.4000"
    for name in ("overall", "head", "tail", "cold")
]


def test_a_sentence_says_where_a_baseline_is_ahead() -> None:
    assert baselines_ahead(evaluation()) == AHEAD
    document = evaluation()
    document["baselines"]["tuned"]["item_knn"]["metrics"] = figures(0.3, 0.4, cold=0.11)
    assert baselines_ahead(document) == [
        "item_knn finds more: cold recall@50 0.1100 against 0.1000"
    ]
    # Equal is not ahead, and an evaluation of an older release has no tuned baselines.
    document["baselines"]["tuned"]["item_knn"]["metrics"] = document["metrics"]
    assert baselines_ahead(document) == []
    del document["baselines"]["tuned"]
    assert baselines_ahead(document) == []
    assert list(metrics_by_name(document["baselines"])) == ["popularity", "random"]
    assert remarks(document["baselines"]) == []


def test_the_rows_have_the_version_first() -> None:
    rows = comparison_rows(evaluation())
    names = [row["ranking"] for row in rows]
    assert names == [VERSION, "popularity", "random", "item_knn"]
    assert rows[3] == {
        "ranking": "item_knn",
        "recall@10": 0.3,
        "recall@50": 0.6,
        "map@50": 0.45,
        "head recall@50": 0.6,
        "tail recall@50": 0.6,
        "cold recall@50": 0.0,
    }


def test_the_command_line_shows_table_sentences_and_reasons() -> None:
    stream = StringIO()
    Console(file=stream, width=120).print(metrics(evaluation()))
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert "the model alone 0.3500 0.7000 0.4000 0.7000 0.7000 0.1000" in lines
    assert "item_knn 0.3000 0.6000 0.4500 0.6000 0.6000 0.0000" in lines
    for line in [*AHEAD, "item_knn: not tuned", "tfidf_cosine is left out: no feature is shared"]:
        assert line in lines
    stream = StringIO()
    document = evaluation()
    del document["baselines"]["tuned"]
    Console(file=stream, width=120).print(metrics(document))
    assert "No baseline finds more, on any slice." in stream.getvalue()
    del document["baselines"]
    stream = StringIO()
    Console(file=stream, width=120).print(metrics(document))
    assert "baseline" not in stream.getvalue()


def test_a_version_is_compared_as_it_recommends() -> None:
    document = evaluation()
    document["memory"] = {"settings": {}, "reason": "", "metrics": figures(0.8, 0.5, cold=0.05)}
    assert [row["ranking"] for row in comparison_rows(document)][:2] == [VERSION, "with memory"]
    # The model's MAP is below item_knn's, that with the memory is not.
    assert baselines_ahead(document) == ["random finds more: cold recall@50 0.1000 against 0.0500"]
    stream = StringIO()
    Console(file=stream, width=80).print(metrics(document))
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert "with memory, cold 0.4000 0.0500 0.2500 0.5000 10" in lines
    assert "with its memory 0.4000 0.8000 0.5000 0.8000 0.8000 0.0500" in lines
    # A memory that was looked for and not chosen changes nothing.
    document["memory"] = {"settings": None, "reason": "no memory finds more"}
    assert baselines_ahead(document) == AHEAD


@pytest.mark.parametrize(
    ("mode", "item_knn", "warns", "refuses"),
    [
        ("warn", 0.6, True, False),
        ("warn", 0.8, True, False),
        ("refuse", 0.6, True, False),
        ("refuse", 0.7, True, False),
        ("refuse", 0.8, True, True),
        ("off", 0.8, False, False),
    ],
)
def test_the_gate_warns_refuses_or_says_nothing(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    mode: Any,
    item_knn: float,
    warns: bool,
    refuses: bool,
) -> None:
    config = Config(feature_repo=tmp_path, home=tmp_path, gate=GateConfig(baselines=mode))
    write_json(RunPaths(config, DAY).model, {"version": VERSION})
    write_json(VersionPaths(config, VERSION).metrics, evaluation(item_knn))
    if refuses:
        with pytest.raises(GateRefusedError, match=r"0\.7000, the best baseline, item_knn, 0\.8"):
            approve(config, DAY)
        assert not RunPaths(config, DAY).approved.exists()
        return
    approved = approve(config, DAY)
    assert read_json(RunPaths(config, DAY).approved) == approved
    assert any("item_knn" in reason for reason in approved["reasons"]) == (mode == "refuse")
    logged = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert logged == [f"version {VERSION}: {warning}" for warning in approved["warnings"]]
    assert bool(approved["warnings"]) == warns
    if warns and item_knn == 0.6:
        assert approved["warnings"] == AHEAD


def test_a_version_that_its_memory_lifts_above_the_baselines_is_approved(tmp_path: Path) -> None:
    config = Config(feature_repo=tmp_path, home=tmp_path, gate=GateConfig(baselines="refuse"))
    write_json(RunPaths(config, DAY).model, {"version": VERSION})
    document = evaluation(item_knn=0.8)
    document["memory"] = {"settings": {}, "reason": "", "metrics": figures(0.9, 0.5, cold=0.2)}
    write_json(VersionPaths(config, VERSION).metrics, document)
    approved = approve(config, DAY)
    assert any("0.9000, the best baseline, item_knn, 0.8" in each for each in approved["reasons"])
