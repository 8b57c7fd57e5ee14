"""The options that commands share."""

from datetime import date
from pathlib import Path
from typing import Annotated, get_args

import typer

from longtail.config import CorrelationConfig

MEASURES = get_args(CorrelationConfig.model_fields["measure"].annotation)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a date of the form 2023-06-10") from error


def _measure(text: str) -> str:
    if text not in MEASURES:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(MEASURES)}")
    return text


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration file; default: LONGTAIL_CONFIG, else the demo's.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else on it.")
]
AsOfOption = Annotated[
    date | None,
    typer.Option(
        "--as-of",
        metavar="DAY",
        parser=_day,
        help="Use data up to the end of this day (UTC); default: the newest interaction's day.",
        show_default=False,
    ),
]
MeasureOption = Annotated[
    str | None,
    typer.Option(
        "--measure",
        metavar="|".join(MEASURES),
        parser=_measure,
        help="The measure to show; default: the configuration's, which alone training uses.",
        show_default=False,
    ),
]
CountOption = Annotated[int, typer.Option("-k", min=1, help="Number of results.")]
