"""The settings for the waiting of torch's threads."""

import pytest

from longtail.training.launch.openmp_threads import waiting


def test_threads_spin_a_little_and_then_sleep() -> None:
    asked = waiting({"PATH": "/bin"})
    assert asked["OMP_WAIT_POLICY"] == "PASSIVE"
    assert 0 < int(asked["GOMP_SPINCOUNT"]) <= 10_000


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_who_asks_for_another_way_is_obeyed(name: str) -> None:
    assert waiting({name: "anything"}) == {}
    assert waiting(waiting({})) == {}  # a child's child waits as the child does
