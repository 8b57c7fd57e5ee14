"""Settings of the losses that contradict each other are refused, in words a user can act on."""

from pathlib import Path

import pytest

from longtail.config import load_config
from longtail.errors import InputError


def load(folder: Path, text: str) -> None:
    path = folder / "longtail.yaml"
    path.write_text(f"feature_repo: .\n{text}")
    load_config(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "loss: {logq_positive: certain, logq: none}",
            r"`loss` has `logq_positive: certain`, which needs .* set logq to exact or streaming",
        ),
        (
            "loss: {logq_positive: certain, correct_positive: false}",
            r"`logq_positive: certain` and `correct_positive: false`, .* leave one of them out",
        ),
        ("loss: {logq_positive: drawn}", r"`loss.logq_positive`: .*'sampled' or 'certain'"),
        ("self_supervision: {num_masks: 0}", r"`self_supervision.num_masks`: .* greater than 0"),
        (
            "self_supervision: {num_masks: 9, sample_size: 8}",
            r"num_masks \(9\) is larger than the number of sampled items of a batch \(8\)",
        ),
        (
            "self_supervision: {num_masks: 65}\ntraining: {batch_size: 64}",
            r"num_masks \(65\) is larger than the number of sampled items of a batch \(64\)",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "loss: {logq_positive: certain}",
        "loss: {logq_positive: certain, logq: streaming, logq_strength: 0.5}",
        "loss: {correct_positive: false}",
        "loss: {logq: none, correct_positive: false}",
        "self_supervision: {num_masks: 8, sample_size: 8}",
    ],
)
def test_what_goes_together_is_not(text: str, tmp_path: Path) -> None:
    load(tmp_path, text)
