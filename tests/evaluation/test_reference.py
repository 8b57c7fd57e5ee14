"""The reference is asked the same questions as the served version."""

from datetime import date
from pathlib import Path

import pytest

from longtail.artifacts import RunPaths, published_pointer, write_json
from longtail.embeddings.export import export_catalogue
from longtail.evaluation.evaluate import evaluate_version
from longtail.evaluation.reference import (
    compare_with_reference,
    reference_version,
    set_reference,
)
from tests.evaluation.small_project import make_config, make_day, make_version

FIRST, SECOND = date(2023, 6, 10), date(2025, 8, 9)


def test_a_reference_is_compared_as_the_served_version_is(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    old = make_version(config, make_day(config, FIRST, 50), seed=1)
    write_json(RunPaths(config, FIRST).approved, {"version": old})
    version = make_version(config, make_day(config, SECOND, 80), seed=2)
    assert reference_version(config) is None
    set_reference(config, old)
    assert reference_version(config) is None  # it has no embeddings yet
    export_catalogue(config, FIRST)
    assert reference_version(config) == old

    found = compare_with_reference(config, version, old)
    write_json(published_pointer(config), {"version": old, "as_of": "2023-06-10"})
    expected = evaluate_version(config, version)["against_served"]
    assert expected is not None
    assert "metrics" in found
    assert found["num_common_items"] == expected["num_common_items"] > 0
    for which in ("metrics", "served_metrics"):
        for name in ("overall", "tail"):
            assert found[which][name] == pytest.approx(expected[which][name])
