"""Generated projects of every format go through `init`, `check` and a short run: a small drill."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.init.files.draft import FORMATS, Format
from tests.init.files.generated import generate
from tests.init.test_generated_files import EVERY_FORMAT

SCRIPT = Path(__file__).resolve().parents[2] / "ops" / "drills" / "generated_projects.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyspark.*"),
]


@pytest.fixture(scope="module")
def drills() -> ModuleType:
    """Return the drill's module, which is a script and stands in no package."""
    spec = importlib.util.spec_from_file_location("generated_projects", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("writer", EVERY_FORMAT)
def test_the_planted_signal_is_found_or_the_files_are_refused(
    tmp_path: Path, drills: ModuleType, writer: Format
) -> None:
    outcomes = [drills.drill(writer, seed, tmp_path / str(seed)) for seed in range(3)]
    assert [each for each in outcomes if each.outcome == "wrong"] == []
    # Something was run, and the table counts it.
    assert any(each.found is not None for each in outcomes)
    assert drills.table(outcomes).splitlines()[1].split()[:2] == [writer, "3"]


def test_the_drill_notices_a_signal_that_is_not_there(tmp_path: Path, drills: ModuleType) -> None:
    generated = generate(0, "arrow", tmp_path / "files", [])
    verdict = drills.judge(generated, tmp_path / "project")
    assert verdict.outcome == "right"
    liked = generated.draft.query_group
    generated.draft.query_group = [(group + 1) % len(set(liked)) for group in liked]
    assert drills.share_found(generated, tmp_path / "project") < 0.2


def test_formats_that_cannot_be_written_are_left_out(
    drills: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drills.shutil, "which", lambda _: None)
    assert drills.available(FORMATS) == list(FORMATS[:-1])
