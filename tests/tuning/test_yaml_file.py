"""Chosen values in a configuration file: the rest of its text stays as it was."""

import stat
from pathlib import Path

import pytest
import yaml

from longtail.errors import LongtailError
from longtail.tuning.yaml_file import changed_text, write_changes

TEXT = """\
# The head of the file,
# in two lines.
feature_repo: feature_repo
home: '.longtail' # quoted

# About features.
features:
  default_dim: 64 # 32 or 64
model:
  hidden: [512]   # 256 or 512
  output_dim: 128

training:
  # About the batch.
  batch_size: 256
  # About epochs.
  num_epochs: 6

# About the gate.
gate:
  baselines: "off"
correlation:
  never_mask:
  - one # the first
  - two
"""
COMMENT = "longtail tune 2026-11-28: validation objective 0.4120 -> 0.4470, 23 trials"


def test_only_the_changed_lines_differ() -> None:
    changes = {
        "model.hidden": [256],
        "model.output_dim": 64,
        "training.num_epochs": 11,
        "training.weight_decay": 0.1,
        "training.early_stopping_epochs": None,
        "loss.temperature": 0.123,
        "loss.correct_positive": False,
    }
    expected = TEXT.replace(
        "[512]   # 256 or 512\n  output_dim: 128\n",
        f"[256] # 256 or 512; {COMMENT}\n  output_dim: 64 # {COMMENT}\n",
    ).replace(
        "num_epochs: 6\n",
        f"num_epochs: 11 # {COMMENT}\n  weight_decay: 0.1 # {COMMENT}\n"
        f"  early_stopping_epochs: null # {COMMENT}\n",
    )
    expected += f"loss:\n  temperature: 0.123 # {COMMENT}\n  correct_positive: false # {COMMENT}\n"
    found = changed_text(TEXT, changes, COMMENT)
    # ruamel may move a comment to another column; everything else is the same.
    squeezed = [" ".join(line.split()) for line in found.strip().splitlines()]
    assert squeezed == [" ".join(line.split()) for line in expected.strip().splitlines()]
    assert yaml.safe_load(found)["training"] == {
        "batch_size": 256,
        "num_epochs": 11,
        "weight_decay": 0.1,
        "early_stopping_epochs": None,
    }


def test_a_later_comment_takes_the_place_of_the_earlier_one() -> None:
    first = changed_text(TEXT, {"model.hidden": [256], "training.num_epochs": 7}, COMMENT)
    second = changed_text(first, {"model.hidden": [128]}, "longtail tune 2026-12-01: more")
    assert "hidden: [128] # 256 or 512; longtail tune 2026-12-01: more" in " ".join(second.split())
    assert second.count("2026-11-28") == 1  # behind num_epochs, which has not changed again


@pytest.mark.parametrize("indent", ["  ", "    "])
def test_lists_keep_their_form(indent: str) -> None:
    text = f"a:\n{indent}b:\n{indent}  - 1\n{indent}  - 2 # two\nloss:\n  temperature: 0.1\n"
    found = changed_text(text, {"loss.temperature": 0.2}, COMMENT)
    assert yaml.safe_load(found) == {"a": {"b": [1, 2]}, "loss": {"temperature": 0.2}}
    assert "# two" in found


def test_the_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "longtail.yaml"
    file.write_text(TEXT)
    file.chmod(0o640)
    write_changes(file, {"training.num_epochs": 9}, COMMENT)
    assert yaml.safe_load(file.read_text())["training"]["num_epochs"] == 9
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["longtail.yaml"]


def test_a_value_that_two_keys_share_is_not_changed_for_both() -> None:
    text = "model: &one\n  output_dim: 8\nother: *one\n"
    with pytest.raises(LongtailError, match="cannot be changed safely"):
        changed_text(text, {"model.output_dim": 16}, COMMENT)
