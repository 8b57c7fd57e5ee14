"""What mining writes where nothing correlates with anything."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from longtail.artifacts import write_json
from longtail.augmentation.masking_plan import masking_plan


def write_correlations(
    folder: Path, features: Sequence[str], masks: Mapping[str, Sequence[str]] | None = None
) -> None:
    """`correlations.json` and its stamp.

    Args:
        folder: of the correlations of a day.
        features: names of the item features.
        masks: by seed; default: those of the rule.
    """
    matrix = np.eye(len(features))
    document = {
        "features": features,
        "matrix": matrix.tolist(),
        "plan": masking_plan(features, matrix).masks if masks is None else masks,
        "always_together": [],
    }
    write_json(folder / "correlations.json", document)
    write_json(folder / "stamp.json", {"fingerprint": "made by hand"})
