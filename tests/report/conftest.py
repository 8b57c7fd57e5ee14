"""The drawn project, once a session: reports only read it, and write beside the versions."""

import pytest

from tests.report.drawn_versions import Drawn, draw_project


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return draw_project(tmp_path_factory.mktemp("drawn"))
