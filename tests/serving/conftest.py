"""The small project of tests/publications.py; each test has a home of its own."""

from pathlib import Path

import pytest

from longtail.embeddings.publish import publish
from tests.publications import DAYS, Published, moved, prepared_project


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return prepared_project(tmp_path_factory.getbasetemp() / "published")


@pytest.fixture
def project(prepared: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    return moved(prepared, tmp_path)


@pytest.fixture(scope="module")
def served(prepared: Published, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Publish the first day, once for all tests that only read."""
    project = moved(prepared, tmp_path_factory.mktemp("served"))
    publish(project.config, DAYS[0])
    return project
