"""The cells behind published tables: the code must still find them by their names.

A study reads a finished cell back if a file has the cell's name, which ends in a hash of the cell's
identity. A setting that is renamed, or that enters the identity without a rule for older cells,
would change the name, and a committed study would train everything again.
"""

import re
from pathlib import Path

import pytest

from longtail.artifacts import read_json
from longtail.config import Config
from longtail.config.changes import with_settings
from longtail.study.cells import Cell, CellStore, Document
from longtail.study.presets import preset

STUDIES = sorted((Path(__file__).resolve().parents[2] / "ops" / "studies").glob("*/study.json"))


def base_of(manifest: Document) -> Config:
    """Return the configuration that the command of a study uses now."""
    base = Config.model_validate({**manifest["config"], "feature_repo": "/repo"})
    named = re.search(r"--preset (\w+)", manifest["command"])
    # A preset may set more now than it did then, to keep the values of that time.
    return with_settings(base, preset(named[1]).settings) if named else base


def first_of_each_variant(folder: Path) -> list[Path]:
    """Return one file for each variant."""
    files = {file.name.split("-")[0]: file for file in sorted(folder.glob("*.json"), reverse=True)}
    return list(files.values())


@pytest.mark.parametrize("study", STUDIES, ids=lambda file: file.parent.name)
def test_committed_cells_are_found_by_their_names(study: Path) -> None:
    base = base_of(read_json(study)["manifest"])
    store = CellStore(study.parent)
    cells, trials = (first_of_each_variant(study.parent / kind) for kind in ("cells", "trials"))
    assert len(cells) >= 2
    for file in (*cells, *trials):
        kept = read_json(file)
        keys = ("variant", "fraction", "seed", "num_epochs", "part", "settings")
        cell = Cell(*(kept[key] for key in keys), base, kept["identity"]["data"])
        assert store.file(cell) == file
        assert store.read(cell) == kept
        assert cell.identity == kept["identity"]


def test_there_are_committed_studies() -> None:
    assert len(STUDIES) >= 8
