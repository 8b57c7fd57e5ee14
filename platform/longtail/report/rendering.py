"""Fills the templates. Every value is escaped, for an item's id may look like markup."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).with_name("templates")
NOTHING = "\N{EN DASH}"


def render(template: str, **values: Any) -> str:
    """Fill a template of the folder `templates/`."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The stylesheet and the script are the package's own text: they alone are not escaped.
    own = {file.name: file.read_text("utf-8") for file in TEMPLATES.glob("page.*")}
    environment.globals["css"] = own["page.css"]
    environment.globals["js"] = own["page.js"]
    environment.filters |= {"count": count, "share": share, "figure": figure, "change": change}
    return environment


def count(value: int | None) -> str:
    """Return a whole number with its thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """Return a share as per cent, with one digit."""
    return NOTHING if value is None else f"{value:.1%}"


def figure(value: float | None, digits: int = 3) -> str:
    """Return a figure with some digits after the point."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def change(value: float | None, digits: int = 3) -> str:
    """Return a difference with its sign, a true minus; one that rounds to nothing has none."""
    if value is None:
        return NOTHING
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0.0:
        return text
    return ("+" if value > 0 else "\N{MINUS SIGN}") + text
