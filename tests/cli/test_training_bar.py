"""The bar of a training run: what it shows on a terminal, and that nobody else sees it."""

import io
import re

from rich.console import Console

from longtail.cli.training_bar import duration, training_bar
from longtail.training.launch.training_log import progress_line

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


def test_a_log_line_moves_the_bar_and_others_do_not() -> None:
    console = terminal()
    with training_bar(console, wanted=True) as bar:
        assert bar is not None
        assert not bar.line("training version 20240105-1 on 2 rank(s), cold start")
        assert shown(console) == ""
        assert bar.line(progress_line(RECORD))
    assert "step 30 of 120" in shown(console)
    assert "125 s left" in shown(console)


def test_there_is_no_bar_in_a_file_nor_beside_json() -> None:
    with training_bar(Console(file=io.StringIO()), wanted=True) as bar:
        assert bar is None
    with training_bar(terminal(), wanted=False) as bar:
        assert bar is None


def test_durations_are_what_people_say() -> None:
    assert [duration(s) for s in (3.2, 89, 600, 9000)] == ["3 s", "89 s", "10 min", "2.5 h"]
