"""The bar of a training run: it shows what it should, and only on a terminal."""

import io
import re

from rich.console import Console

from longtail.cli.run import _Outcome
from longtail.cli.training_bar import duration, training_bar

RECORD = {
    "step": 30,
    "num_steps": 120,
    "epoch": 0,
    "loss": 3.25,
    "main_loss": 3.0,
    "self_supervised_loss": 2.5,
    "examples_per_second": 12_345.6,
    "seconds_left": 125.0,
}


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=160)


def test_a_terminal_sees_steps_and_the_time_left() -> None:
    console = terminal()
    with training_bar(console, wanted=True) as bar:
        assert bar is not None
        bar.record(RECORD)
        bar.record({**RECORD, "step": 60, "loss": 2.0, "seconds_left": 80.0})
    text = shown(console)
    assert "step 30 of 120" in text
    assert "25%" in text
    assert "loss 3.250, 12346 examples/s, 2 min left" in text
    assert "step 60 of 120" in text
    assert "50%" in text
    assert "80 s left" in text


def test_a_progress_event_of_the_child_moves_the_bar_and_prints_nothing_else() -> None:
    console = terminal()
    with training_bar(console, wanted=True) as bar:
        assert bar is not None
        outcome = _Outcome(console, bar)
        outcome.handle({"event": "log", "level": "INFO", "message": "training version 1"})
        assert shown(console) == "  training version 1\n"
        outcome.handle({"event": "progress", "record": RECORD})
        assert "step 30 of 120" in shown(console)
        assert "2 min left" in shown(console)
        outcome.handle({"event": "done", "stage": "two_tower_model", "seconds": 0.5})
        before = shown(console)
        outcome.handle({"event": "progress", "record": {**RECORD, "step": 60}})  # a late one
    assert shown(console) == before
    assert shown(console).count("\n") == before.count("\n")


def test_there_is_no_bar_in_a_file_nor_beside_json() -> None:
    with training_bar(Console(file=io.StringIO()), wanted=True) as bar:
        assert bar is None
    with training_bar(terminal(), wanted=False) as bar:
        assert bar is None


def test_durations_are_what_people_say() -> None:
    assert [duration(s) for s in (3.2, 89, 600, 9000)] == ["3 s", "89 s", "10 min", "2.5 h"]
