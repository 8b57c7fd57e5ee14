"""The cells that a study runs and reuses, and their order; the figures come from a formula."""

import json
from pathlib import Path
from typing import Any

import pytest

from longtail.artifacts import read_json
from longtail.errors import LongtailError
from longtail.study.cells import Cell, Document
from tests.study.tiny import QUICK_STUDY, FakeWork, Serial, make_project, make_study

RATE, TOWER = "training.table_learning_rate", "training.tower_learning_rate"


def by_seed(cell: Cell, epoch: int) -> float:
    bonus = 0.1 if cell.variant == "correlated_masking" else 0.0
    return 0.2 + bonus + 0.01 * cell.seed * epoch


def test_a_grid(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    study, events = make_study(config, tmp_path / "study", fractions=(1.0, 0.5), num_seeds=2)
    work = FakeWork(by_seed)
    document = study.run(Serial(work))
    keys = [(cell["fraction"], cell["variant"], cell["seed"]) for cell in document["cells"]]
    assert keys == [
        (fraction, variant, seed)
        for fraction in (1.0, 0.5)
        for variant in ("baseline", "correlated_masking")
        for seed in (1, 2)
    ]
    levels = [cell["metrics"]["overall"]["recall@50"] for cell in document["cells"]]
    assert levels == pytest.approx([0.24, 0.28, 0.34, 0.38] * 2)
    assert len(document["summary"]) == 2 * 2 * 4 * 4
    assert [event.kind for event in events] == ["started", "finished"] * 8
    # Longer cells run first, so that the study does not wait for a long one at the end.
    costs = [cell.cost for cell in work.done]
    assert costs[:2] == sorted(costs, reverse=True)[:2]
    assert document["trials"] == []
    assert document["failures"] == {}
    assert read_json(tmp_path / "study" / "study.json") == json.loads(json.dumps(document))


def test_what_is_finished_is_not_run_again(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    folder = tmp_path / "study"
    first = make_study(config, folder, num_seeds=3)[0]
    stopped = FakeWork(by_seed)

    def interrupted(cell: Cell) -> Document:
        if len(stopped.done) == 2:
            raise KeyboardInterrupt
        return stopped(cell)

    with pytest.raises(KeyboardInterrupt):
        first.run(Serial(interrupted))
    # The cells that were finished by then can be read.
    assert len(read_json(folder / "study.json")["cells"]) == 2
    study, events = make_study(config, folder, num_seeds=3)
    work = FakeWork(by_seed)
    document = study.run(Serial(work))
    assert len(document["cells"]) == 6
    assert len(work.done) == 4
    assert {cell.name for cell in work.done}.isdisjoint(cell.name for cell in stopped.done)
    assert sum(event.kind == "reused" for event in events) == 2
    # With more seeds later, only those are run.
    later = FakeWork(by_seed)
    wider = make_study(config, folder, num_seeds=5)[0].run(Serial(later))
    assert sorted((cell.variant, cell.seed) for cell in later.done) == [
        (variant, seed) for variant in ("baseline", "correlated_masking") for seed in (4, 5)
    ]
    assert wider["cells"][:3] == document["cells"][:3]


def test_a_failed_cell_does_not_take_the_others_along(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    folder = tmp_path / "study"
    work = FakeWork(by_seed)

    def fails_once(cell: Cell) -> Document:
        if (cell.variant, cell.seed) == ("baseline", 2):
            raise ValueError("out of\nmemory")
        return work(cell)

    study, events = make_study(config, folder, num_seeds=3)
    document = study.run(Serial(fails_once))
    assert len(document["cells"]) == 5
    ((name, why),) = document["failures"].items()
    assert name.startswith("baseline-1-seed2-4epochs-")
    assert why == "ValueError: out of memory"
    (failed,) = [event for event in events if event.kind == "failed"]
    assert "Traceback" in failed.details
    again = make_study(config, folder, num_seeds=3)[0].run(Serial(FakeWork(by_seed)))
    assert again["failures"] == {}
    assert len(again["cells"]) == 6


def landscape(cell: Cell, epoch: int) -> float:
    """Return a figure, best at rate 0.02, temperature 0.12, weight 1, dropout 0.2 and epoch 3."""
    config = cell.config
    ssl = config.self_supervision
    level = 0.5 - 0.01 * abs(epoch - 3)
    level -= abs(config.training.table_learning_rate - 0.02)
    level -= abs(config.loss.temperature - 0.12)
    if ssl.augmenter.contrasts:
        level += 0.1 - 0.01 * abs(ssl.weight - 1.0) - 0.1 * abs(ssl.value_dropout - 0.2)
        level -= 0.1 * abs(ssl.temperature - 0.2)
    return level


def run_tuned(folder: Path, work: Any) -> Document:
    """Run a study over a new copy of the project, with its cells in the same folder."""
    place = folder / f"project-{len(list(folder.iterdir()))}"
    config = make_project(place, study=QUICK_STUDY)
    study, _ = make_study(config, folder / "study", tune=True, num_seeds=2)
    return study.run(Serial(work))


def test_tuning_climbs_to_the_best_setting_and_epoch(tmp_path: Path) -> None:
    work = FakeWork(landscape)
    document = run_tuned(tmp_path, work)
    baseline, masked = (choice["settings"] for choice in document["choices"])
    assert baseline[RATE] == pytest.approx(0.02)
    assert baseline["loss.temperature"] == pytest.approx(0.12)
    assert [choice["num_epochs"] for choice in document["choices"]] == [3, 3]
    # The other variant has the settings that were chosen for the baseline.
    assert {key: masked[key] for key in (RATE, TOWER, "loss.temperature")} == {
        key: baseline[key] for key in (RATE, TOWER, "loss.temperature")
    }
    assert masked["self_supervision.weight"] == pytest.approx(1.0)
    assert masked["self_supervision.temperature"] == pytest.approx(0.2)
    assert masked["self_supervision.value_dropout"] == pytest.approx(0.2)
    for cell in document["cells"]:
        assert cell["num_epochs"] == 3
        assert cell["settings"] == (baseline if cell["variant"] == "baseline" else masked)


def test_only_the_validation_part_is_tuned_on_and_only_by_its_own_seed(tmp_path: Path) -> None:
    work = FakeWork(landscape)
    document = run_tuned(tmp_path, work)
    trials = [cell for cell in work.done if cell.part == "validation"]
    reported = [cell for cell in work.done if cell.part == "test"]
    assert {cell.seed for cell in trials} == {0}
    assert sorted((cell.variant, cell.seed) for cell in reported) == [
        (variant, seed) for variant in ("baseline", "correlated_masking") for seed in (1, 2)
    ]
    # Each choice was made before any of its test figures existed.
    for variant in ("baseline", "correlated_masking"):
        own = [cell.part for cell in work.done if cell.variant == variant]
        assert own == sorted(own, key=("validation", "test").index)
    assert len(trials) == len(document["trials"]) == len({trial.name for trial in trials})


def test_a_tuned_study_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = run_tuned(tmp_path, FakeWork(landscape))
    again = FakeWork(landscape)
    document = run_tuned(tmp_path, again)
    assert again.done == []
    assert document["choices"] == whole["choices"]
    assert document["summary"] == whole["summary"]


def test_a_trial_that_diverges_is_kept_and_never_chosen(tmp_path: Path) -> None:
    work = FakeWork(landscape)
    diverged = []

    def some_diverge(cell: Cell) -> Document:
        if cell.config.training.table_learning_rate > 0.06:
            diverged.append(cell)
            raise LongtailError("a loss of epoch 1 is not finite")
        return work(cell)

    document = run_tuned(tmp_path, some_diverge)
    assert diverged
    assert document["failures"] == {}
    assert document["choices"][0]["settings"][RATE] < 0.06
    kept = [trial for trial in document["trials"] if "error" in trial]
    assert [trial["error"] for trial in kept] == ["a loss of epoch 1 is not finite"] * len(diverged)
    again = FakeWork(landscape)
    assert run_tuned(tmp_path, again)["choices"] == document["choices"]
    assert again.done == []


def test_without_a_tuned_baseline_the_others_do_not_begin(tmp_path: Path) -> None:
    work = FakeWork(landscape)

    def baseline_fails(cell: Cell) -> Document:
        if cell.variant == "baseline":
            raise ValueError("no")
        return work(cell)

    document = run_tuned(tmp_path, baseline_fails)
    assert work.done == []
    assert document["cells"] == []
    assert document["failures"]["correlated_masking at 1"] == (
        "not run: the line that it waits for has failed"
    )
