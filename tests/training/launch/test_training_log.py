"""Lines for people and records for a bar, both from the same training log."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from longtail.training.launch.training_log import LogTail, progress_line
from longtail.training.reports import JsonLines

RECORD = {
    "step": 30,
    "num_steps": 120,
    "loss": 3.25,
    "main_loss": 3.0,
    "self_supervised_loss": 2.5,
    "examples_per_second": 12_345.6,
    "seconds_left": 125.0,
}
LINE = (
    "step 30 of 120, loss 3.250 (main 3.000, self-supervised 2.500), 12346 examples/s, 125 s left"
)


def lines_of(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_without_a_listener_people_get_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "longtail.training")
    lines = JsonLines(tmp_path / "log.jsonl")
    with LogTail(tmp_path / "log.jsonl", None) as tail:
        lines.write({**RECORD, "step": 29})
        lines.write(RECORD)
        tail.report()
        lines.write({**RECORD, "step": 31})
        tail.report()  # too soon after the first line
        tail.report(last=True)
    assert lines_of(caplog, logging.INFO) == [LINE]
    assert progress_line(RECORD) == LINE


def test_a_listener_gets_each_record_and_the_lines_become_details(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "longtail.training")
    lines = JsonLines(tmp_path / "log.jsonl")
    heard: list[dict[str, Any]] = []
    with LogTail(tmp_path / "log.jsonl", heard.append) as tail:
        lines.write({**RECORD, "step": 29})
        lines.write(RECORD)
        lines.warn(30, "the disk is full")
        tail.report()
    assert [record["step"] for record in heard] == [29, 30]
    assert heard[-1] == json.loads(json.dumps(RECORD))
    assert lines_of(caplog, logging.INFO) == []
    assert lines_of(caplog, logging.DEBUG) == [LINE]
    # One from the rank that wrote it, one from the process that follows.
    assert lines_of(caplog, logging.WARNING) == ["the disk is full"] * 2
