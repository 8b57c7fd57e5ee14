"""The page in a real browser: Debian's Chromium, without a window, driven by Playwright.

Skipped if either is missing, unless LONGTAIL_REQUIRE_CHROMIUM is set, as it is in CI.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtail.report.sources import VersionSources
from longtail.report.write import write_report
from tests.report.drawn_versions import EVIL, Drawn

CHROMIUM = shutil.which("chromium")
can_run = CHROMIUM is not None and importlib.util.find_spec("playwright") is not None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not can_run and "LONGTAIL_REQUIRE_CHROMIUM" not in os.environ,
        reason="needs Chromium (apt-get install chromium) and Playwright (the extra `dev`)",
    ),
]
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
MENDED = "<b>bold</b> & 'quoted'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # CI runs as root, where Chromium's own sandbox does not start.
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def written(drawn: Drawn) -> Path:
    """The page of the served version."""
    return Path(write_report(drawn.config)["page"])


class Opened:
    """A page that is open, and everything that went wrong in it."""

    def __init__(self, browser: Any, file: Path, width: int, scheme: str) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())

    def look_up(self, typed: str) -> list[tuple[str, str]]:
        """Type a text, choose the first match, and read the list: `(score, item)` of each."""
        self.page.fill("#query", "")
        self.page.type("#query", typed)
        self.page.press("#query", "Enter")
        lines = self.page.query_selector_all("#found .neighbour")
        return [
            (line.query_selector(".score").inner_text(), line.query_selector(".name").inner_text())
            for line in lines
        ]


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids=str)
def opened(request: pytest.FixtureRequest, browser: Any, written: Path) -> Iterator[Opened]:
    found = Opened(browser, written, *request.param)
    found.page.wait_for_selector("html[data-ready]")
    yield found
    found.context.close()


def nearest(drawn: Drawn, item: str) -> list[tuple[str, str]]:
    """The ten nearest of an item by brute force, as the page writes them."""
    embeddings = VersionSources(drawn.config, drawn.second).embeddings
    assert embeddings is not None
    items = embeddings[0].to_pylist()
    scores = embeddings[1] @ embeddings[1][items.index(item)]
    order = [row for row in np.argsort(-scores, kind="stable") if items[row] != item][:10]
    return [(f"{scores[row]:.2f}".replace("-", "\N{MINUS SIGN}"), items[row]) for row in order]


def test_one_types_a_name_and_reads_its_neighbours(drawn: Drawn, opened: Opened) -> None:
    page = opened.page
    for item in ("thing 042", "fresh-3"):
        assert opened.look_up(item) == nearest(drawn, item)
        chosen = page.inner_text("#found .chosen")
        assert item in chosen
        assert "topic" in chosen
        assert "colour" in chosen
    # The beginning of an id, in capitals: matches that begin so, popular ones first.
    page.fill("#query", "FRESH")
    names = page.locator("#matches li").all_inner_texts()
    assert sorted(names) == sorted(f"fresh-{number}" for number in range(10))
    page.press("#query", "ArrowDown")
    page.press("#query", "Enter")
    assert page.input_value("#query") == names[1]
    # A neighbour's name leads on to its own list.
    other = page.locator("#found .name").first.inner_text()
    page.locator("#found .name").first.click()
    assert page.input_value("#query") == other
    page.fill("#query", "nothing like it")
    assert page.inner_text("#matches") == "no such item"
    assert opened.problems == []


def test_markup_in_the_data_does_nothing(drawn: Drawn, opened: Opened) -> None:
    assert opened.look_up(EVIL[:12]) == nearest(drawn, EVIL)
    assert EVIL in opened.page.inner_text("#found .chosen")
    assert opened.look_up(MENDED) == nearest(drawn, MENDED)
    assert opened.page.title() == f"longtail {drawn.second}"
    assert opened.page.query_selector_all("img") == []
    assert opened.page.query_selector_all("#found b b") == []
    assert opened.problems == []


def test_nothing_is_asked_of_the_network_and_nothing_is_too_wide(
    opened: Opened, written: Path
) -> None:
    assert opened.requests == [written.as_uri()]
    opened.page.evaluate(
        "for (const each of document.querySelectorAll('details')) each.open = true"
    )
    width = opened.page.evaluate("innerWidth")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    wide = opened.page.evaluate(
        "[...document.querySelectorAll('main *')].filter("
        "each => each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML)"
    )
    assert wide == []


def test_the_metric_is_switched_in_all_tables(opened: Opened) -> None:
    opened.page.click(".tabs button[data-metric='map@10']")
    shown = opened.page.locator("table[data-metric]:visible")
    assert [each.get_attribute("data-metric") for each in shown.all()] == ["map@10"] * 2


def test_the_map_is_drawn_in_the_colours_of_the_scheme(opened: Opened) -> None:
    """Each group has points of its colour, and a group alone leaves the other colours out."""
    count = """number => {
        const canvas = document.getElementById("canvas");
        const wanted = getComputedStyle(document.querySelector(`.groups .g${number}`))
            .backgroundColor.match(/\\d+/g).map(Number);
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let found = 0;
        for (let i = 0; i < data.length; i += 4) {
            found += wanted.every((value, part) => Math.abs(value - data[i + part]) < 8);
        }
        return found;
    }"""
    groups = opened.page.locator("#groups button").count()
    assert groups == 4
    assert all(opened.page.evaluate(count, number) > 20 for number in range(groups))
    opened.page.click("#groups button >> nth=1")
    assert [opened.page.evaluate(count, number) > 20 for number in range(groups)] == [
        *(False, True, False, False),
    ]


def test_a_point_of_the_map_is_looked_up(opened: Opened) -> None:
    page = opened.page
    page.locator("#canvas").scroll_into_view_if_needed()
    box = page.locator("#canvas").bounding_box()
    before = page.input_value("#query")
    # Goes over the map in steps until a point is under the mouse.
    for step in range(2_000):
        x = box["x"] + 24 + (step * 7) % (box["width"] - 48)
        y = box["y"] + 24 + (step * 13) % (box["height"] - 48)
        page.mouse.move(x, y)
        if not page.locator("#under").is_hidden():
            break
    name = page.inner_text("#under").split(" \N{MIDDLE DOT} ")[0]
    page.mouse.click(x, y)
    assert page.input_value("#query") == name != before


def test_the_index_leads_to_the_pages(drawn: Drawn, browser: Any, written: Path) -> None:
    for width in WIDTHS:
        found = Opened(browser, written.with_name("index.html"), width, "light")
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        heights = "[...document.querySelectorAll('tr')].map(row => row.offsetHeight)"
        assert max(found.page.evaluate(heights)) < 120
        found.page.click(f"a:text({drawn.second!r})")
        found.page.wait_for_selector("html[data-ready]")
        assert found.page.inner_text("h1").startswith(drawn.second)
        assert found.problems == []
        found.context.close()
