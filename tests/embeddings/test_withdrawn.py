"""A version that was rolled back stays away until somebody approves it again."""

import pytest

from longtail.embeddings.publish import publish, rollback, status
from longtail.embeddings.refresh.withdrawn import approve, withdrawal
from longtail.errors import InputError, LongtailError
from tests.publications import DAYS, Published

FIRST, SECOND, THIRD, _ = DAYS


@pytest.fixture
def rolled_back(project: Published) -> Published:
    """Two days were published, and the second was rolled back."""
    for day in (FIRST, SECOND):
        publish(project.config, day)
    assert rollback(project.config, note="odd results")["as_of"] == FIRST.isoformat()
    return project


def test_the_next_refresh_of_its_day_does_not_serve_it(rolled_back: Published) -> None:
    config, first, second = rolled_back.config, *(rolled_back.versions[d] for d in (FIRST, SECOND))
    again = publish(config, SECOND)
    assert (again["published"], again["version"]) == (False, first)
    assert f"version {second} was rolled back on 20" in again["reason"]
    assert '("odd results")' in again["reason"]
    assert f"longtail approve {second}" in again["reason"]
    # Nor does another rollback, which would have gone back to what was served before.
    with pytest.raises(LongtailError, match=f"version {second} was rolled back"):
        rollback(config)
    assert status(config)["version"] == first
    # What is newer than it is not held back.
    assert publish(config, THIRD)["published"]


def test_an_approval_lets_it_be_published_again(rolled_back: Published) -> None:
    config, second = rolled_back.config, rolled_back.versions[SECOND]
    found = approve(config, second, "the results were right")
    assert (found["note"], found["approval_note"]) == ("odd results", "the results were right")
    assert withdrawal(config, second) is None
    assert status(config)["version"] == rolled_back.versions[FIRST]  # an approval alone
    assert publish(config, SECOND)["version"] == second
    with pytest.raises(InputError, match=f"{second} was not rolled back"):
        approve(config, second)
    with pytest.raises(InputError, match="there is no version '20240101-ffffffff'"):
        approve(config, "20240101-ffffffff")


def test_naming_a_version_serves_it_and_withdraws_no_older_one(rolled_back: Published) -> None:
    config, first, second = rolled_back.config, *(rolled_back.versions[d] for d in (FIRST, SECOND))
    assert rollback(config, second)["published"]
    assert withdrawal(config, second) is None
    assert withdrawal(config, first) is None
    assert rollback(config)["version"] == first
    assert withdrawal(config, second) is not None


def test_a_rollback_that_fails_withdraws_nothing(project: Published) -> None:
    for day in (FIRST, SECOND):
        publish(project.config, day)
    embeddings = project.config.home / "versions" / project.versions[FIRST]
    (embeddings / "item_embeddings.parquet").write_bytes(b"damaged")
    with pytest.raises(LongtailError, match="is not the file that was committed"):
        rollback(project.config)
    assert withdrawal(project.config, project.versions[SECOND]) is None
    assert status(project.config)["version"] == project.versions[SECOND]
