"""The small project of tests/publications.py; each test has a home of its own."""

from pathlib import Path

import pytest

from tests.publications import Published, moved, prepared_project


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return prepared_project(tmp_path_factory.getbasetemp() / "published")


@pytest.fixture
def project(prepared: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    return moved(prepared, tmp_path)
