import hashlib
from collections.abc import Callable

import ibis
import numpy as np
import pyarrow as pa
import pytest

from longtail.correlation.sample import error_from_halves, num_halvings, sampled

Catalogue = Callable[..., ibis.Table]


def ids_of(table: ibis.Table) -> set[str]:
    return set(table.to_pyarrow()["item_id"].to_pylist())


def test_a_sample_is_the_items_with_a_small_hash_and_its_halves_are_it(
    catalogue: Catalogue,
) -> None:
    ids = [f"item {number} 🐍" for number in range(2_000)]
    hashes = {i: int(hashlib.md5(i.encode()).hexdigest()[:8], 16) / 2**32 for i in ids}
    table = catalogue(item_id=pa.array(ids))
    for halvings in (0, 1, 3):
        whole = ids_of(sampled(table, "item_id", halvings))
        assert whole == {i for i in ids if hashes[i] < 0.5**halvings}
        first, second = (ids_of(sampled(table, "item_id", halvings, half)) for half in (0, 1))
        assert first == {i for i in ids if hashes[i] < 0.5 ** (halvings + 1)}
        assert second == whole - first


def test_halvings_bring_the_catalogue_to_the_budget() -> None:
    assert [num_halvings(n, 100) for n in (0, 100, 101, 200, 201, 10_000)] == [0, 0, 1, 1, 2, 7]


def test_a_sample_that_the_hash_cannot_draw_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(ValueError, match="too small"):
        sampled(catalogue(item_id=pa.array(["a"])), "item_id", 25)


def test_the_error_is_the_root_mean_square_of_both_halves() -> None:
    halves = np.array([[1.3]]), np.array([[0.6]])
    found = error_from_halves(np.array([[1.0]]), halves)
    assert found[0, 0] == pytest.approx((0.5 * (0.3**2 + 0.4**2)) ** 0.5)
