"""Trials that are really trained, over a few dozen packages."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtail.artifacts import RunPaths, read_json
from longtail.config import Config, SelfSupervisionConfig, TrainingConfig, TuningConfig
from longtail.config.changes import with_settings
from longtail.dataset.training_set import Examples, load_training_set, write_training_set
from longtail.encoder.torch_encoder import Encoder
from longtail.errors import LongtailError
from longtail.evaluation.encoder_ranks import encode_and_rank
from longtail.evaluation.held_out import held_out_pairs
from longtail.evaluation.objective import objective
from longtail.training.train_in_process import train_in_process
from longtail.tuning.choice import Choice, best_candidate, present_candidate
from longtail.tuning.document import document_of, figures_of, verdict
from longtail.tuning.plots import importances, save_plot
from longtail.tuning.trial import candidate_epoch
from longtail.tuning.trials import Finished
from longtail.tuning.tune import Event, Tuning
from tests.study.tiny import AS_OF, make_project

NAMES = ("loss.temperature", "training.tower_learning_rate", "training.learning_rate_decay")
TRAINING = TrainingConfig(
    batch_size=64, num_epochs=2, table_learning_rate=0.02, tower_learning_rate=0.002
)
TUNING = TuningConfig(max_epochs=4, patience=2)


@pytest.fixture(scope="module", autouse=True)
def few_threads_and_trials() -> Iterator[None]:
    """One thread; and TPE and importances begin with fewer trials than they do for users."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longtail.tuning.tune.NUM_TRIALS_BEFORE_TPE", 4)
        patch.setattr("longtail.tuning.plots.NUM_TRIALS_FOR_IMPORTANCE", 4)
        yield
    torch.set_num_threads(threads)


def project(home: Path, **sections: Any) -> Config:
    config = make_project(home, training=TRAINING, tuning=TUNING)
    evaluation = config.evaluation.model_copy(update={"objective": {"overall recall@10": 1.0}})
    own = {
        "evaluation": evaluation,
        "self_supervision": SelfSupervisionConfig(sample_size=20),
        **sections,
    }
    return config.model_copy(update=own)


def run(config: Config, num_trials: int | None = None, **options: Any) -> tuple[Tuning, Choice]:
    minutes = options.pop("minutes", None)
    tuning = Tuning(config, AS_OF, names=NAMES, **options)
    choice = tuning.run(num_trials=num_trials, minutes=minutes)
    assert choice is not None
    return tuning, choice


def results(tuning: Tuning) -> list[tuple[Any, ...]]:
    """Return all of the trials but their numbers and seconds."""
    return [
        (each.values, each.settings, each.curve, each.ended) for each in tuning.trials.finished()
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Tuning, Choice]:
    """Seven trials in one go; TPE draws the fifth and the seventh."""
    config = project(tmp_path_factory.mktemp("whole"))
    tuning, choice = run(config, 7)
    return config, tuning, choice


def test_the_first_trial_is_the_present_configuration(
    whole: tuple[Config, Tuning, Choice],
) -> None:
    config, tuning, choice = whole
    first, *others = tuning.trials.finished()
    assert first.settings == {
        "loss.temperature": 0.06,
        "training.tower_learning_rate": 0.002,
        "training.learning_rate_decay": "none",
    }
    assert choice.present.trial == first
    assert choice.present.epoch["epoch"] == config.training.num_epochs == 2
    assert choice.best.objective >= choice.present.objective
    settings = [trial.settings for trial in tuning.trials.finished()]
    assert len(others) == 6
    assert all(settings.count(one) == 1 for one in settings)


def test_the_chosen_configuration_trains_what_the_trial_measured(
    whole: tuple[Config, Tuning, Choice],
) -> None:
    """Trained from the changes, as a run would; measured on its own."""
    config, _, choice = whole
    assert choice.changes
    chosen = with_settings(config, choice.changes)
    paths = RunPaths(config, AS_OF)
    training_set = load_training_set(paths.training_set)
    questions = held_out_pairs(training_set, "validation")

    def measured(encoder: Encoder) -> float:
        ranks = encode_and_rank(encoder, training_set, questions, query_batch_size=7)
        return float((ranks <= 10).mean())

    encoder = train_in_process(
        training_set,
        chosen,
        num_rows=read_json(paths.vocabularies / "stamp.json")["num_rows"],
        plan=Tuning(config, AS_OF, names=NAMES)._data.plan,
        num_epochs=chosen.training.num_epochs,
    )
    assert measured(encoder) == pytest.approx(choice.best.objective, abs=1e-12)
    assert choice.gain == pytest.approx(choice.best.objective - choice.present.objective)
    assert choice.gain > 0.0


def test_an_interrupted_run_goes_on_to_the_same_trials(
    whole: tuple[Config, Tuning, Choice], tmp_path: Path
) -> None:
    _, uninterrupted, choice = whole
    config = project(tmp_path)
    run(config, 2)

    def interrupt(event: Event) -> None:
        if (event.number, event.epoch) == (4, 1):
            raise KeyboardInterrupt

    stopped = Tuning(config, AS_OF, names=NAMES, on_event=interrupt)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(num_trials=7)
    assert len(stopped.trials.finished()) == 3
    resumed, again = run(config, 7)
    assert results(resumed) == results(uninterrupted)
    assert again.changes == choice.changes
    assert again.interval == choice.interval


def test_a_killed_trial_is_done_again(tmp_path: Path) -> None:
    """The process dies without a word: the journal has a trial that runs."""
    config = project(tmp_path)
    tuning, _ = run(config, 2)
    tuning.trials.study.ask()
    again, _ = run(config, 2)
    assert results(again) == results(tuning)
    states = [trial.state.name for trial in again.trials.study.get_trials()]
    assert states.count("FAIL") == 1
    assert "RUNNING" not in states


def test_the_test_part_is_never_read(whole: tuple[Config, Tuning, Choice], tmp_path: Path) -> None:
    """Nonsense in its place changes nothing; in the place of the validation part, it does."""
    _, expected, _ = whole
    query, item = (grid.ravel().astype(np.int32) for grid in np.mgrid[0:30, 0:9])
    nonsense = Examples(
        query, item, np.ones(len(query), np.float32), np.zeros(len(query), np.int64)
    )
    for part, is_read in (("test", False), ("validation", True)):
        config = project(tmp_path / part)
        folder = RunPaths(config, AS_OF).training_set
        stamp = (folder / "stamp.json").read_bytes()
        changed = replace(load_training_set(folder), **{part: nonsense})
        write_training_set(folder, changed)
        (folder / "stamp.json").write_bytes(stamp)
        tuning, _ = run(config, 3)
        assert (results(tuning) != results(expected)[:3]) == is_read


def test_other_settings_begin_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = project(tmp_path)
    first, choice = run(config, 2)
    # What is tuned does not count: the best values may have been written into the file.
    written = with_settings(config, {**choice.changes, "loss.temperature": 0.2})
    assert Tuning(written, AS_OF, names=NAMES).trials.folder == first.trials.folder
    with caplog.at_level(logging.INFO, "longtail.tuning"):
        other = Tuning(with_settings(config, {"model.dropout": 0.2}), AS_OF, names=NAMES)
    assert other.trials.folder != first.trials.folder
    assert other.trials.finished() == []
    assert "have changed since the trials in" in caplog.text
    assert str(first.trials.folder) in caplog.text


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    config = project(tmp_path)
    tuning = Tuning(config, AS_OF, names=NAMES)
    with tuning.trials.alone(), pytest.raises(LongtailError, match="another `longtail tune`"):
        run(config, 1)


def test_what_was_written_is_the_present_configuration_of_the_next_call(tmp_path: Path) -> None:
    config = project(tmp_path)
    tuning, choice = run(config, 4)
    assert choice.changes
    written = with_settings(config, choice.changes)
    again, none = run(written, 4)
    assert len(again.trials.finished()) == 4
    assert none.present.trial.number == choice.best.trial.number
    assert none.changes == {}
    assert none.interval == (0.0, 0.0)
    assert not none.is_better
    assert verdict(none) == "Nothing is better than the present configuration."
    assert results(again) == results(tuning)


def test_the_time_ends_a_trial_and_keeps_what_it_found(tmp_path: Path) -> None:
    """The clock goes on by 10 s an epoch, and by nothing else."""
    config = project(tmp_path)
    now = [0.0]

    def tick(event: Event) -> None:
        now[0] += 10.0 if event.epoch and event.trained is None else 0.0

    tuning, _ = run(config, on_event=tick, clock=lambda: now[0], minutes=55 / 60)
    *others, last = tuning.trials.finished()
    assert others
    assert last.ended == "out of time"
    # A sixth epoch would end after 60 s. It is trained only if a trial has begun before 55 s.
    num_epochs = sum(len(trial.curve) for trial in (*others, last))
    assert num_epochs == (6 if len(last.curve) == 1 else 5)
    # Without any time, the present configuration is still measured.
    none, choice = run(project(tmp_path / "none"), clock=lambda: now[0], on_event=tick, minutes=0.0)
    (only,) = none.trials.finished()
    assert len(only.curve) == 2
    assert choice.present.epoch["epoch"] == 2


def test_a_configuration_that_diverges(tmp_path: Path) -> None:
    training = TRAINING.model_copy(update={"tower_learning_rate": 1e30})
    tuning = Tuning(project(tmp_path, training=training), AS_OF, names=NAMES)
    assert tuning.run(num_trials=4) is None
    assert "cannot be trained: a loss of epoch 1 is not finite" in tuning.why_nothing()
    assert [trial.ended for trial in tuning.trials.finished()] == ["failed"]


def finished(settings: dict[str, Any], figures: list[float], ended: str = "no rise") -> Finished:
    curve = [
        {"epoch": number + 1, "objective": figure, "metrics": {}}
        for number, figure in enumerate(figures)
    ]
    return Finished(0, 1, settings, settings, curve, ended, None, 1.0)  # type: ignore[arg-type]


def test_the_epoch_that_counts() -> None:
    config = Config(feature_repo=Path(), training=TrainingConfig(num_epochs=3))
    rising = finished({"loss.temperature": 0.1}, [0.1, 0.3, 0.3, 0.2])
    decay = {"training.learning_rate_decay": "linear", "training.num_epochs": 4}
    # With a decay, only its last epoch had the rates that a run of that many epochs has.
    decayed = finished(decay, [0.1, 0.9, 0.3, 0.4], "all epochs")
    unfinished = finished(decay, [0.1, 0.9, 0.3], "pruned")

    def epoch_of(trial: Finished) -> int | None:
        found = candidate_epoch(trial.curve, trial.settings, config)
        return found and found["epoch"]

    assert [epoch_of(each) for each in (rising, decayed, unfinished)] == [2, 4, None]
    best = best_candidate([unfinished, rising, decayed], config)
    assert best is not None
    assert (best.trial, best.objective) == (decayed, 0.4)
    assert best_candidate([unfinished], config) is None

    present = present_candidate([decayed, rising], {"loss.temperature": 0.1}, config)
    assert present is not None
    assert present.epoch["epoch"] == 3
    assert present_candidate([decayed], {"loss.temperature": 0.1}, config) is None
    # A configuration that stops early takes its best epoch.
    stops = with_settings(config, {"training.early_stopping_epochs": 1})
    present = present_candidate([rising], {"loss.temperature": 0.1}, stops)
    assert present is not None
    assert present.epoch["epoch"] == 2


def test_the_document_and_the_plot(whole: tuple[Config, Tuning, Choice], tmp_path: Path) -> None:
    config, tuning, choice = whole
    document = document_of(choice, tuning.trials, config, AS_OF)
    assert len(document["trials"]) == 7
    figures = figures_of(tuning.trials, config)
    assert [row["number"] for row in document["trials"]] == [1, 2, 3, 4, 5, 6, 7]
    assert figures == {
        row["number"] - 1: row["objective"]
        for row in document["trials"]
        if row["objective"] is not None
    }
    assert max(figures.values()) == document["best"]["objective"] == choice.best.objective
    assert set(document["changes"]) == set(choice.changes)
    shares = importances(tuning.trials.study, figures, 0)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert set(shares) <= {*NAMES, "training.num_epochs"}
    assert importances(tuning.trials.study, {0: 0.1, 1: 0.2}, 0) == {}
    save_plot(tmp_path / "trials.png", document, shares)
    assert (tmp_path / "trials.png").read_bytes()[:4] == b"\x89PNG"


def test_ranks_are_kept_by_epoch(whole: tuple[Config, Tuning, Choice]) -> None:
    """The objective of the ranks on the disk is the figure of the curve."""
    config, tuning, _ = whole
    data = tuning._data
    for trial in tuning.trials.finished()[:3]:
        for entry in trial.curve:
            ranks = tuning.trials.ranks(trial.number, entry["epoch"])
            found = objective(
                ranks,
                data.questions,
                data.training_set.train_count[data.questions.candidate],
                config.evaluation.objective,
                head_fraction=config.evaluation.head_fraction,
            )
            assert found == entry["objective"]
