"""The `longtail` command."""

import os
import sys

import typer

from longtail.cli import bench, check, init, plan, run, serve, served, stages, study
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
    "One stage, and what it needs before it": (
        *(stages.mine, stages.dataset, stages.train),
        *(stages.evaluate, stages.export, stages.publish),
    ),
    "What a method is worth": (study.study,),
    "What it would run on": (plan.plan,),
    "What is served": (served.status, served.versions, served.rollback),
    "What downstream code gets": (
        *(served.lookup, served.neighbours, served.recommend, serve.serve),
    ),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
# What it does not know goes to the benchmark.
app.command(
    rich_help_panel="How fast it is",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(bench.bench)


def main() -> None:
    """Run the command; a known error is one line on stderr and its exit code."""
    os.environ.update(waiting(os.environ))  # of torch's threads, here and in child processes
    try:
        app()
    except LongtailError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    finally:
        forget_connections()
