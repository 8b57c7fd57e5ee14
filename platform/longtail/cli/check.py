"""`check`: reports every problem of configuration, features, data and machine at once."""

from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from longtail.cli.options import AsOfOption, ConfigOption, JsonOption
from longtail.cli.output import output
from longtail.config import config_file, load_config
from longtail.errors import InputError

COLOURS = {"error": "bold red", "warning": "yellow"}


def check(
    config: ConfigOption = None, as_of: AsOfOption = None, as_json: JsonOption = False
) -> None:
    """Show every problem of configuration, features, data and machine, each with its cure.

    The exit code is 2 if one of them is an error. `longtail run` begins with the same checks.
    """
    with output(as_json) as out:
        from longtail.checks.preflight import check_project
        from longtail.checks.report import Problem, Report
        from longtail.features.finding import Finding

        try:
            project = load_config(config)
        except InputError as error:
            # Without a configuration nothing else can be checked: its wrong keys are the report.
            file = str(config_file(config))
            problems = [
                Problem("configuration", "error", Finding.of(problem, file))
                for problem in error.problems or (str(error),)
            ]
            report = Report(None, tuple(problems), {})
        else:
            report = check_project(project, as_of)
        document = report.document()
        out.result(document, _shown(document))
        if report.errors:
            raise typer.Exit(InputError.exit_code)


def _shown(document: Mapping[str, Any]) -> Group:
    parts = [_problem(problem) for problem in document["problems"]]
    for table, facts in document["refused"].items():
        if facts["num_refused"]:
            reasons = ", ".join(f"{count} {reason}" for reason, count in facts["reasons"].items())
            parts.append(
                Group(
                    Text(
                        f"{facts['num_refused']} of {facts['num_rows']} rows of {table} are "
                        f"refused ({reasons}): {facts['file']}"
                    )
                )
            )
    counts = {
        severity: sum(problem["severity"] == severity for problem in document["problems"])
        for severity in COLOURS
    }
    verdict = ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for name, n in counts.items())
    day = f"As of {document['as_of']}: " if document["as_of"] else ""
    style = COLOURS["error"] if counts["error"] else "bold green"
    return Group(*parts, Text(f"{day}{verdict}.", style=style))


def _problem(problem: Mapping[str, Any]) -> Group:
    severity = problem["severity"]
    head = Text.assemble((severity, COLOURS[severity]), " ", (problem["check"], "bold"))
    lines = [Text(problem["what"]), Text(f"cure: {problem['cure']}", style="dim")]
    if problem["examples"]:
        examples = "; ".join(_example(each) for each in problem["examples"])
        lines.insert(1, Text(f"such as: {examples}", style="dim"))
    return Group(head, Padding(Group(*lines), (0, 0, 1, 2), expand=False))


def _example(example: Any) -> str:
    if isinstance(example, Mapping):
        return ", ".join(f"{name} = {value}" for name, value in example.items())
    return str(example)
