"""A project of three items and two queries, small enough to check by hand."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from longtail.config import Config, load_config
from tests.projects import write_project

UTC_US = pa.timestamp("us", "UTC")


def day(number: int, hour: int = 0) -> datetime:
    """Return a moment in January 2024."""
    return datetime(2024, 1, number, hour, tzinfo=UTC)


def item_rows() -> pa.Table:
    """Return items: a changes on days 5 and 9, b is dropped on day 9, c is new on day 5."""
    return pa.table(
        {
            "item_id": ["a", "b", "a", "c", "a", "b"],
            "section": ["games", "libs", "net", None, "web", "libs"],
            "tags": pa.array([["x", "y"], [], ["y"], ["z"], ["x"], None], pa.list_(pa.string())),
            "size": pa.array([1, 2, 3, None, 5, 6], pa.int64()),
            "active": [True, True, True, None, True, False],
            "event_timestamp": pa.array([day(1), day(1), day(5), day(5), day(9), day(9)], UTC_US),
        }
    )


def query_rows() -> pa.Table:
    """Return queries: a changes on day 5, q stays as it is."""
    return pa.table(
        {
            "query_id": ["q", "a", "a"],
            "section": ["libs", "games", "net"],
            "event_timestamp": pa.array([day(1), day(1), day(5)], UTC_US),
        }
    )


def interaction_rows() -> pa.Table:
    """Return interactions: the pair (q, a) occurs three times, on day 6 and twice on day 4."""
    return pa.table(
        {
            "query_id": ["q", "q", "q", "a", "a"],
            "item_id": ["a", "a", "a", "c", "b"],
            "event_timestamp": pa.array([day(6), day(4), day(4), day(8, 23), day(9)], UTC_US),
            "weight": pa.array([9.0, 1.0, 2.0, None, 0.5]),
        }
    )


def make_project(folder: Path) -> Config:
    """Write the project's tables and definitions, without applying them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("LONGTAIL_HOME", raising=False)
        return load_config(write_project(folder, item_rows(), query_rows(), interaction_rows()))


@pytest.fixture
def project(tmp_path: Path) -> Config:
    """Return a project that may be changed, not yet applied; `feature_repo/data` has its tables."""
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def unchanged_project(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Return the same project, applied once, for tests that only read."""
    from longtail.features.feast.repository import FeatureRepository

    config = make_project(tmp_path_factory.mktemp("project"))
    FeatureRepository(config).apply()
    return config
