"""The pages of a study: they show the figures of the cells, and need no other file."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from longtail.study import plots
from longtail.study.cells import Cell, Document
from tests.study.tiny import QUICK_STUDY, FakeWork, Serial, make_project, make_study

# The baseline has .2, .3, .4, and correlated masking .05, .06, .1 more: a gain of 70/3 %.
GAINS = {1: 0.05, 2: 0.06, 3: 0.10}


def level(cell: Cell, epoch: int) -> float:
    if cell.part == "validation":
        ssl = cell.config.self_supervision
        return 0.5 - abs(ssl.weight - 0.1) / 10 - abs(ssl.value_dropout - 0.4) / 10
    gain = GAINS[cell.seed] if cell.variant == "correlated_masking" else 0.0
    return 0.1 + 0.1 * cell.seed + gain


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, str, str]:
    folder = tmp_path_factory.mktemp("study")
    config = make_project(folder / "project", study=QUICK_STUDY)
    study, _ = make_study(config, folder, num_seeds=3, tune=True, settings={"loss.logq": "none"})
    document = study.run(Serial(FakeWork(level)))
    return document, (folder / "study.md").read_text(), (folder / "study.html").read_text()


def table_rows(markdown: str, title: str) -> dict[str, list[str]]:
    """Return the rows of the table after a title, by the name in the first column."""
    lines = markdown[markdown.index(title) :].splitlines()[2:]
    rows = {}
    for line in lines:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name] = cells
    return rows


def test_the_markdown_tables(pages: tuple[Document, str, str]) -> None:
    markdown = pages[1]
    overall = table_rows(markdown, "Overall, mean")
    # The deviation is .1 over three seeds: 4.302653 * .1 / sqrt(3) = .2484.
    assert overall["baseline"] == ["0.3000 ± 0.2484"] * 4 + ["3"]
    assert overall["correlated masking"][0].startswith("0.3700 ± ")
    gains = table_rows(markdown, "Relative gain")
    # Differences .05, .06, .10: mean .07, deviation .026458; divided by .3: 23.3% +- 21.9%.
    assert gains["correlated masking"] == [
        *("+23.3% [+1.4, +45.2]", "+6.1% / +10.2%"),
        *("+23.3% [+1.4, +45.2]", "+4.1% / +7.5%"),
        *("+23.3% [+1.4, +45.2]", "+7.0% / +12.4%"),
        *("+23.3% [+1.4, +45.2]", "+6.1% / +11.7%"),
    ]
    assert "baseline" not in gains
    slices = table_rows(markdown, "Recall@50 by popularity slice")
    assert slices["correlated masking"][3] == "+23.3% [+1.4, +45.2]"
    settings = table_rows(markdown, "Hyper-parameters, and")["correlated masking"]
    assert "self_supervision.weight 0.1" in settings[0]
    assert "self_supervision.value_dropout 0.4" in settings[0]
    assert settings[1:] == ["1", str(len(pages[0]["choices"][1]["trials"])), "0.5000"]


def test_the_head_says_how_the_figures_came_about(pages: tuple[Document, str, str]) -> None:
    markdown = pages[1]
    assert "`longtail study`" in markdown
    assert "6 of 6 models, seeds 1 to 3" in markdown
    assert "Data up to 2024-05-01" in markdown
    assert "split by hash, 0.1 validation, 0.1 test" in markdown
    assert "chosen by overall recall@50 on the validation part, seed 0" in markdown
    assert "`loss.logq: none`" in markdown
    assert "states of the code" not in markdown
    config = pages[0]["manifest"]["config"]
    assert config["loss"]["logq"] == "none"
    assert "home" not in config
    assert "feature_repo" not in config


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_stands_alone(pages: tuple[Document, str, str]) -> None:
    page = _Page()
    page.feed(pages[2])
    assert page.tags.isdisjoint({"script", "link", "iframe"})
    # The plots of alpha, value dropout, and gain by popularity.
    assert len(page.sources) == 3
    for source in page.sources:
        kind, _, content = source.partition(";base64,")
        assert kind == "data:image/svg+xml"
        assert ElementTree.fromstring(base64.b64decode(content)).tag.endswith("svg")
    for text in ("0.3000 ± 0.2484", "+4.1% / +7.5%", "<code>longtail study</code>"):
        assert text in pages[2]


def test_the_sweeps_show_the_trials(pages: tuple[Document, str, str]) -> None:
    document = pages[0]
    # The point of a value is its best trial over all values of the other settings.
    weights = dict(plots.sweep(document, "correlated_masking", 1.0, "self_supervision.weight"))
    assert weights[0.1] == pytest.approx(0.5)
    assert weights[1.0] == pytest.approx(0.5 - 0.09 - 0.01)
    dropouts = plots.sweep(document, "correlated_masking", 1.0, "self_supervision.value_dropout")
    assert dropouts == [
        (0.2, pytest.approx(0.48)),
        (0.3, pytest.approx(0.49)),
        (0.4, pytest.approx(0.5)),
    ]
    assert plots.sweep(document, "baseline", 1.0, "self_supervision.weight") == []


def test_gains_along_popularity(pages: tuple[Document, str, str]) -> None:
    points = plots.decile_gains(pages[0], "correlated_masking", 1.0)
    assert points == [(4.0, pytest.approx(0.37 / 0.30 - 1))]
    assert plots.decile_gains(pages[0], "correlated_masking", 0.5) == []


def test_models_of_two_states_of_the_code_are_told(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    study, _ = make_study(config, tmp_path / "study", num_seeds=1)
    work = FakeWork(level)

    def later_code(cell: Cell) -> Document:
        return {**work(cell), "source": cell.variant}

    study.run(Serial(later_code))
    markdown = (tmp_path / "study" / "study.md").read_text()
    assert "**Models of 2 states of the code stand side by side here**" in markdown
    # With one seed there is no interval.
    assert re.search(r"\| baseline \| 0\.2000 \|", markdown)
