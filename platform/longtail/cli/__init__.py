"""The `longtail` command.

Each file holds the command of its name, and:

    stage_commands.py    `mine`, `dataset`, `train`, `evaluate`, `export`, `publish`
    serving_commands.py  `status`, `lookup`, `neighbours`, `recommend`, and others
    options.py           the options that commands share
    earlier_stages.py    makes the stages that a command needs before its own work
    output.py            sends the result to stdout, and everything else to stderr
    tell_dagster.py      reports the served version to Dagster after a rollback
    training_bar.py      the progress bar of a training run
    study_progress.py    the progress lines of a study
    tuning_progress.py   the progress lines of `tune`
    interruptible.py     lets a signal end long work in good order
    tables/              the tables that commands print
"""

import os
import sys

import typer

from longtail.cli import bench, check, init, plan, report, run, serve, study, tune
from longtail.cli import serving_commands as served
from longtail.cli import stage_commands as stages
from longtail.cli.output import complain, forget_connections
from longtail.errors import LongtailError
from longtail.training.launch.openmp_threads import waiting

__all__ = ["app", "main"]

app = typer.Typer(
    name="longtail",
    help="Item embeddings for large catalogues, from raw tables to a feature store.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(rich_help_panel="Your data")(init.init)
for panel, commands in {
    "Your data": (check.check,),
    "The whole flow": (run.run,),
    "One stage, after the stages that it needs": (
        *(stages.mine, stages.dataset, stages.train),
        *(stages.evaluate, stages.export, stages.publish),
    ),
    "Hyper-parameters": (tune.tune,),
    "Comparison of methods": (study.study,),
    "Capacity planning": (plan.plan,),
    "Versions": (
        *(served.status, served.versions, report.report, served.rollback, served.approve),
    ),
    "Embeddings and recommendations": (
        *(served.lookup, served.neighbours, served.recommend, serve.serve),
    ),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
# Each benchmark parses its own options, so `bench` passes on those that it does not know.
app.command(
    rich_help_panel="Benchmarks",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(bench.bench)


def main() -> None:
    """Run the command. A known error becomes one line on stderr and its exit code."""
    # Tells torch's threads how to wait, here and in child processes.
    os.environ.update(waiting(os.environ))
    try:
        app()
    except LongtailError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    finally:
        forget_connections()
