"""The checks of `longtail check` as asset checks.

Checks of the three tables run before the catalogue is made, those of the project and the machine
before training. The configuration sets the severity: an error stops the run, a warning is shown.

The job `refresh` selects the checks of the tables. "Materialize all" and `dg launch --assets` leave
them out, because they are of assets that are not made here. Then the catalogue makes them.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import date

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    multi_asset_check,
)

from assets.metadata import Metadata, table
from assets.resources import Project
from assets.stage import Context, stage
from longtail.checks.registry import CHECKS
from longtail.checks.report import Problem
from longtail.config import Config

# Runs of this process that have checked the tables.
_checked: set[str] = set()

OF_TABLES = [
    AssetCheckSpec(check.name, asset=name, description=check.explanation, blocking=True)
    for check in CHECKS
    for name in check.tables
]
OF_THE_PROJECT = [
    AssetCheckSpec(check.name, asset="catalogue", description=check.explanation, blocking=True)
    for check in CHECKS
    if not check.tables
]


@multi_asset_check(name="check_tables", specs=OF_TABLES)
def check_tables(
    context: AssetCheckExecutionContext, project: Project
) -> Iterator[AssetCheckResult]:
    """Check the rows of the three tables."""
    from longtail.checks.preflight import check_tables as look

    with stage(context) as as_of:
        config = project.load()
        report = look(config, as_of)
        for line in report.left_out():
            context.log.warning(line)
        _checked.add(context.run.run_id)
        # Those that found an error are blocking, so the catalogue of this run is not made then.
        yield from _results(OF_TABLES, report.problems)


def require_checked(context: Context, config: Config, as_of: date) -> None:
    """Check the tables, unless `check_tables` has done so in this run.

    Raises:
        InputError: a check found an error.
    """
    from longtail.checks.preflight import check_tables as look

    if context.run.run_id in _checked:
        return
    report = look(config, as_of)
    report.require()
    for notice in report.notices():
        context.log.warning(notice)


@multi_asset_check(name="check_project", specs=OF_THE_PROJECT)
def check_project(
    context: AssetCheckExecutionContext, project: Project
) -> Iterator[AssetCheckResult]:
    """Check configuration and machine against what the day's catalogue needs."""
    from longtail.checks.preflight import check_machine

    with stage(context) as as_of:
        yield from _results(OF_THE_PROJECT, check_machine(project.load(), as_of).problems)


def _results(
    specs: Iterable[AssetCheckSpec], problems: Iterable[Problem]
) -> Iterator[AssetCheckResult]:
    """Yield one result for each check and asset."""
    found: dict[tuple[str, AssetKey], list[Problem]] = {}
    for problem in problems:
        asset = AssetKey(problem.finding.table or "catalogue")
        found.setdefault((problem.check, asset), []).append(problem)
    for spec in specs:
        mine = found.get((spec.name, spec.asset_key), [])
        is_error = any(problem.severity == "error" for problem in mine)
        yield AssetCheckResult(
            passed=not mine,
            check_name=spec.name,
            asset_key=spec.asset_key,
            severity=AssetCheckSeverity.ERROR if is_error else AssetCheckSeverity.WARN,
            description="; ".join(problem.finding.message for problem in mine) or None,
            metadata=_metadata(mine),
        )


def _metadata(problems: list[Problem]) -> Metadata:
    if not problems:
        return {}
    rows = [
        {
            "column": problem.finding.column,
            "rows": problem.finding.num_rows,
            "what": problem.finding.what,
            "cure": problem.finding.cure,
            "examples": json.dumps(problem.finding.examples, default=str),
        }
        for problem in problems
    ]
    num_rows = sum(problem.finding.num_rows for problem in problems)
    return {"num_rows": num_rows, "findings": table(rows)}


ALL = [check_tables, check_project]
