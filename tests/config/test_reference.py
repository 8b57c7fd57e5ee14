"""CONFIGURATION.md: every key, as the models have it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from longtail.config import Config
from longtail.config.reference import PAGE, Key, list_tables, render_page

KEYS = {f"{key.section}.{key.name}".lstrip("."): key for t in list_tables() for key in t.keys}


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_page(), "run `make config-reference`"


def test_the_page_has_every_key_of_every_model() -> None:
    schema = Config.model_json_schema()
    sections = {name for name, field in schema["properties"].items() if "$ref" in str(field)}
    top = set(schema["properties"]) - sections
    nested = sum(len(model["properties"]) for model in schema["$defs"].values())
    assert len(KEYS) == len(top) + nested
    assert {key.section.split(".")[0] for key in KEYS.values()} == {"", *sections}
    assert all(f"| `{key.name}` |" in PAGE.read_text(encoding="utf-8") for key in KEYS.values())


def test_sections_stand_in_the_order_of_the_configuration() -> None:
    headings = re.findall(r"^## `(\w+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [name for name in Config.model_fields if name in headings]
    assert len(headings) == len(Config.model_fields) - 3


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_every_key_is_described_in_sentences(key: Key) -> None:
    assert len(key.description) > 20, f"{key.section}.{key.name} has no description"
    assert re.match(r"[A-Z`]", key.description)
    assert key.description.endswith(".")
    assert "|" not in key.description
    assert not key.is_number or key.unit, f"{key.section}.{key.name} is a number without a unit"


@pytest.mark.parametrize(
    ("name", "kind", "default", "unit"),
    [
        ("feature_repo", "path", "required", ""),
        ("home", "path", "`.longtail`", ""),
        ("training.batch_size", "integer > 0", "`1024`", "examples per rank and step"),
        ("dataset.training_fraction", "number > 0 and <= 1", "`1.0`", "share"),
        ("dataset.split", "`hash`, `time`", "`hash`", ""),
        ("checks.max_divergence", "number from 0 to 1", "`0.1`", "bits"),
        (
            "checks.severity",
            "mapping of name to: `error`, `warning`, `ignore`",
            "`{}`",
            "",
        ),
        ("correlation.row_budget", "`null`, or integer > 0", "`null`", "items"),
        ("correlation.always_together", "list of: list of: text", "`[]`", ""),
        ("study.value_dropouts", "list of: number from 0 to 1", "`[0.1, 0.3, 0.5]`", "probability"),
        ("sharding.default.cache_load_factor", "`null`, or number > 0 and < 1", "`null`", "share"),
        ("schedule.first_day", "date `YYYY-MM-DD`", "`2000-01-01`", ""),
    ],
)
def test_types_defaults_and_units_in_words(name: str, kind: str, default: str, unit: str) -> None:
    key = KEYS[name]
    assert (key.type, key.default, key.unit) == (kind, default, unit)


def test_a_key_without_literals_still_spells_its_choices_out() -> None:
    """The augmentations come from a registry; the validator and the page must name the same."""
    names = re.findall(r"`(\w+)`", KEYS["self_supervision.augmentation"].type)
    for name in names:
        Config.model_validate({"feature_repo": ".", "self_supervision": {"augmentation": name}})
    with pytest.raises(ValueError, match=", ".join(names)):
        Config.model_validate({"feature_repo": ".", "self_supervision": {"augmentation": "?"}})


def test_the_defaults_of_the_page_are_the_defaults_of_the_models() -> None:
    """The column, read as YAML, makes the same configuration as an empty file."""
    content: dict[str, Any] = {"feature_repo": "."}
    for key in KEYS.values():
        if key.default in ("required", "all `null`") or key.section == "sharding.default":
            continue
        part = content.setdefault(key.section, {}) if key.section else content
        part[key.name] = yaml.safe_load(key.default.strip("`"))
    assert Config.model_validate(content) == Config(feature_repo=Path())


def test_the_pages_that_it_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (PAGE.parent / link).is_file()] == []
