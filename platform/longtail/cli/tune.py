"""The command `tune`: chooses hyper-parameters on the validation part, and writes them down."""

import logging
from datetime import UTC, datetime
from typing import Annotated

import typer

from longtail.cli.earlier_stages import make_catalogue, make_correlations, make_training_set
from longtail.cli.interruptible import interruptible
from longtail.cli.options import AsOfOption, ConfigOption, JsonOption
from longtail.cli.output import output
from longtail.config import config_file, load_config
from longtail.errors import InputError, LongtailError

_DEFAULT_MINUTES = 20.0

MinutesOption = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        min=0.0,
        help="The time for trials; default: 20, or no limit with --trials. The trials that fit in "
        "depend on the machine.",
        show_default=False,
    ),
]
TrialsOption = Annotated[
    int | None,
    typer.Option(
        "--trials",
        min=1,
        help="End when there are this many trials, those of earlier runs included. With one number "
        "of threads, the result is always the same.",
        show_default=False,
    ),
]
ParametersOption = Annotated[
    str | None,
    typer.Option(
        "--parameters",
        metavar="A,B",
        help="The keys to tune, such as loss.temperature,model.dropout; default: "
        "`tuning.parameters`, else all.",
        show_default=False,
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what is best, and leave the file as it is.")
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Write the best values even if they may be better by chance."),
]


def tune(
    minutes: MinutesOption = None,
    num_trials: TrialsOption = None,
    parameters: ParametersOption = None,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    config: ConfigOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose hyper-parameters on the validation part, and write them into the configuration."""
    with output(as_json) as out, interruptible():
        file = config_file(config)
        project = load_config(config)
        names = tuple(part.strip() for part in (parameters or "").split(",") if part.strip())
        # Imported late, so that `longtail --help` is fast. Wrong names must not cost minutes.
        from longtail.tuning.axes import axes_of

        axes_of(project, names or project.tuning.parameters)
        day = make_catalogue(project, as_of)
        make_training_set(project, day)
        make_correlations(project, day)

        from longtail.artifacts import write_json
        from longtail.cli.tables import tuning_tables
        from longtail.cli.tuning_progress import TuningProgress
        from longtail.tuning.document import (
            DOCUMENT,
            PLOT,
            comment_of,
            document_of,
            figures_of,
            verdict,
        )
        from longtail.tuning.plots import importances, save_plot
        from longtail.tuning.tune import Tuning
        from longtail.tuning.yaml_file import write_changes

        # TorchRec calls what this release of torch is about to rename, and torch says so.
        logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
        with TuningProgress(out.progress) as progress:
            tuning = Tuning(project, day, names=names or None, on_event=progress)
            folder = tuning.trials.folder
            known = len(tuning.trials.finished())
            going_on = f"; {known} trials were there already" if known else ""
            out.progress.print(f"tuning {len(tuning.axes)} parameters in {folder}{going_on}")
            limit = _DEFAULT_MINUTES if minutes is None and num_trials is None else minutes
            try:
                choice = tuning.run(minutes=limit, num_trials=num_trials)
            except KeyboardInterrupt as error:
                raise LongtailError(
                    f"interrupted; finished trials are kept in {folder}: run the same command to "
                    "go on"
                ) from error
        if choice is None:
            raise LongtailError(tuning.why_nothing())

        # Table and plot first: they stand even if the file cannot be written.
        document = document_of(choice, tuning.trials, project, day)
        figures = figures_of(tuning.trials, project)
        shares = importances(tuning.trials.study, figures, project.tuning.seed)
        document["importances"] = shares
        writes = bool(choice.changes) and not dry_run and (choice.is_better or force)
        document["written"] = str(file) if writes else None
        write_json(folder / DOCUMENT, document)
        save_plot(folder / PLOT, document, shares)
        if writes:
            comment = comment_of(choice, len(document["trials"]), datetime.now(UTC).date())
            try:
                write_changes(file, choice.changes, comment)
            except OSError as error:
                raise InputError(f"{file} cannot be written: {error}") from error
            end = f"Written to {file}. Next: longtail run"
        elif dry_run or not choice.changes:
            end = f"{file} is as it was."
        else:
            end = f"{file} is as it was; --force writes the best values all the same."
        shown = tuning_tables.tuning(document)
        out.result(document, *shown, verdict(choice), f"Plot: {folder / PLOT}", end)
