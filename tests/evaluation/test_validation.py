"""Recall and MAP on the validation part for a model in training, against a ranking by hand."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from longtail.artifacts import RunPaths, VersionPaths
from longtail.dataset.training_set import Examples, load_training_set
from longtail.encoder.torch_encoder import load_encoder
from longtail.errors import InputError
from longtail.evaluation.validation import map_at_50, recall_at_50
from tests.evaluation.small_project import make_config, make_day, make_version

DAY = date(2023, 6, 10)


def test_recall_is_that_of_a_ranking_by_hand(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    day = make_day(config, DAY, 90)
    encoder = load_encoder(VersionPaths(config, make_version(config, day, seed=3)).folder)
    training_set = load_training_set(RunPaths(config, DAY).training_set)
    items = encoder.encode("item", training_set.item_rows)
    found, asked = 0, 0
    ranks: dict[int, list[int]] = {}
    shown = set(zip(training_set.train.query_row, training_set.train.item_row, strict=True))
    in_catalogue = np.flatnonzero(training_set.catalogue_row >= 0)
    pairs = zip(training_set.validation.query_row, training_set.validation.item_row, strict=True)
    for query, item in pairs:
        if item not in in_catalogue or query == item:
            continue
        row = training_set.query_rows.take(np.array([query]))
        scores = items @ encoder.encode("query", row)[0]
        others = [i for i in in_catalogue if (query, i) not in shown and i not in (query, item)]
        asked += 1
        found += int((scores[others] > scores[item]).sum() < 50)
        # In a ranking of the query, its other held-out items stand among the others.
        ranks.setdefault(int(query), []).append(1 + int((scores[others] > scores[item]).sum()))
    assert 0 < found < asked
    assert recall_at_50(encoder, training_set, config) == pytest.approx(found / asked)
    precisions = [
        sum(number / rank for number, rank in enumerate(sorted(own), 1) if rank <= 50)
        / min(len(own), 50)
        for own in ranks.values()
    ]
    mean = sum(precisions) / len(precisions)
    assert map_at_50(encoder, training_set, config) == pytest.approx(mean)

    nothing = np.array([], np.int32)
    empty = Examples(nothing, nothing, nothing.astype(np.float32), nothing.astype(np.int64))
    with pytest.raises(InputError, match="which has no pair"):
        recall_at_50(encoder, replace(training_set, validation=empty), config)
