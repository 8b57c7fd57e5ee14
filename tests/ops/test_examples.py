"""The example notebooks run from beginning to end, and show what their text says."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "ops" / "examples"


def printed(notebook: nbformat.NotebookNode) -> str:
    """All text that the cells of an executed notebook print."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_own_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    monkeypatch.delenv("LONGTAIL_CONFIG", raising=False)
    notebook = nbformat.read(FOLDER / "own_tables.ipynb", as_version=4)
    NotebookClient(notebook, timeout=800, kernel_name="python3").execute()
    text = printed(notebook)
    model, popularity = re.search(
        r"recall@50 ([.\d]+); by popularity alone ([.\d]+)", text
    ).groups()
    assert float(model) > 1.5 * float(popularity)
    # The departments were planted: whom a product stands beside, and what a shopper is shown.
    for asked in (r"p0000 is of (\w+)", r"s000 likes (\w+)"):
        after = text[re.search(asked, text).start() :]
        planted = re.search(asked, after)[1]
        assert [line.split()[2] for line in after.splitlines()[1:6]].count(planted) >= 4
    images = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(images) == 1
