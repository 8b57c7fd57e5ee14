"""The command `study`: runs a grid of variants x data fractions x seeds, and shows its table."""

import dataclasses
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longtail.cli.earlier_stages import make_catalogue, make_correlations, make_training_set
from longtail.cli.interruptible import interruptible
from longtail.cli.options import AsOfOption, ConfigOption, JsonOption
from longtail.cli.output import output
from longtail.config import load_config, local_path
from longtail.errors import InputError, LongtailError
from longtail.study.variants import VARIANTS

if TYPE_CHECKING:
    from longtail.study.grid import Plan


def _names(text: str) -> tuple[str, ...]:
    """Split a list at its commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _fractions(text: str) -> tuple[float, ...]:
    """Read a list of numbers."""
    try:
        return tuple(float(part) for part in _names(text))
    except ValueError as error:
        raise InputError(f"--fractions {text!r} is not a list of numbers such as 1,0.1") from error


PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="paper|default|masks|quick",
        help="A study that has a name; the options below change it. paper: every variant of the "
        "paper, tuned, with all and with 10% of the data, without logQ and mixed negatives (takes "
        "hours; if you stop it, the same command goes on). default: the configuration against logQ "
        "alone. masks: no masks, random masks, and correlated masks by each measure. quick: the "
        "paper's comparison in a few minutes, untuned.",
        show_default=False,
    ),
]
VariantsOption = Annotated[
    str | None,
    typer.Option(
        "--variants", metavar="A,B", help=f"The variants to compare: {', '.join(VARIANTS)}."
    ),
]
FractionsOption = Annotated[
    str | None,
    typer.Option("--fractions", metavar="1,0.1", help="The shares of the data to train on."),
]
SeedsOption = Annotated[
    int | None,
    typer.Option("--num-seeds", min=1, help="Models of each variant and fraction."),
]
EpochsOption = Annotated[
    int | None,
    typer.Option(
        "--num-epochs",
        min=1,
        help="Epochs of every model, the maximum with --tune. By default smaller fractions get "
        "more epochs.",
    ),
]
TuneOption = Annotated[
    bool | None,
    typer.Option(
        "--tune/--no-tune", help="Whether to choose hyper-parameters on the validation part first."
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs", min=1, help="Models trained at the same time; default: the number of cores."
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        help="The folder for the figures of finished models and the tables; default: a folder with "
        "the preset's name in the project's home.",
        show_default=False,
    ),
]


def study(
    preset: PresetOption = None,
    variants: VariantsOption = None,
    fractions: FractionsOption = None,
    num_seeds: SeedsOption = None,
    num_epochs: EpochsOption = None,
    tune: TuneOption = None,
    jobs: JobsOption = None,
    folder: FolderOption = None,
    config: ConfigOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare ways to train: run a grid of variants, data fractions and seeds, show its table."""
    # Imported late, here and below, so that `longtail --help` is fast.
    from longtail.study import presets

    with output(as_json) as out, interruptible():
        project = load_config(config)
        # Options that were given replace the preset's values. The plan is checked before any stage
        # runs, because a wrong option must not cost minutes.
        chosen = {
            "variants": _names(variants) if variants else None,
            "fractions": _fractions(fractions) if fractions else None,
            "num_seeds": num_seeds,
            "num_epochs": num_epochs,
            "same_epochs": True if num_epochs else None,
            "tune": tune,
        }
        given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
        plan: Plan = dataclasses.replace(presets.preset(preset), **given)
        plan.check()
        # All measures of correlation that the variants mask by are mined before the cells start.
        day = make_catalogue(project, as_of)
        make_training_set(project, day)
        for measure in sorted({project.correlation.measure, *plan.measures(project)}):
            make_correlations(project, day, measure)

        from longtail.cli.study_progress import StudyProgress
        from longtail.cli.tables import study_tables
        from longtail.study.whole_study import Study
        from longtail.study.worker_task import train_and_measure
        from longtail.study.workers import Processes

        # The workers share the cores, so that they do not slow each other down.
        default = project.home / "studies" / (preset or "study")
        place = local_path(folder or default, "--folder").absolute()
        grid = Study(project, day, plan, place)
        planned = grid.planned()
        num_cores = os.cpu_count() or 1
        num_workers = min(jobs or num_cores, len(planned))
        out.progress.print(f"{plan.about}: {len(planned)} models, {num_workers} at a time")
        progress = StudyProgress(out.progress, planned, num_workers)
        grid.on_event = progress
        work = partial(train_and_measure, grid.data)
        threads = max(1, num_cores // num_workers)
        try:
            with Processes(work, num_workers, num_threads=threads) as pool:
                document = grid.run(pool)
        except KeyboardInterrupt as error:
            raise LongtailError(
                f"interrupted; finished models are kept in {place}: run the same command to go on"
            ) from error
        progress.tell_reused()
        out.result(document, *study_tables.study(document), f"Tables and plots: {place}")
        if document["failures"]:
            reasons = "; ".join(f"{name}: {why}" for name, why in document["failures"].items())
            raise LongtailError(f"{len(document['failures'])} cells failed: {reasons}")
