"""The page of a version: each figure on it, against the files that it is made from."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import ReportConfig
from longtail.embeddings.versions import list_versions
from longtail.errors import InputError, LongtailError
from longtail.evaluation.results import SLICES
from longtail.report.contents import METRICS
from longtail.report.rendering import change, count, figure, share
from longtail.report.sources import VersionSources, compared_version
from longtail.report.write import write_report
from tests.report.drawn_versions import DAYS, EVIL, Drawn
from tests.report.pages import Page
from tests.report.test_packed import unpacked


@pytest.fixture(scope="module")
def source(drawn: Drawn) -> str:
    """The page of the served version."""
    return Path(write_report(drawn.config)["page"]).read_text("utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def own_home(drawn: Drawn, folder: Path) -> Drawn:
    """The same project in a home of its own, to be changed."""
    shutil.copytree(drawn.config.home, folder / "home")
    return replace(drawn, config=drawn.config.model_copy(update={"home": folder / "home"}))


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_the_head_says_what_is_served_what_changed_and_the_verdict(
    drawn: Drawn, page: Page
) -> None:
    against = drawn.read(drawn.second, "metrics.json")["against_served"]
    now, before = (against[key]["overall"]["recall@50"] for key in ("metrics", "served_metrics"))
    assert (
        f"Version {drawn.second} is served now. It has 245 items as of 2024-02-10, 10 new and 5 "
        f"gone since {drawn.first}. The gate approved it: recall@50 is {now:.3f}, against "
        f"{before:.3f} of {drawn.first} on the items that both have."
    ) in page.text["header"]


def test_recall_and_map_stand_beside_the_baselines(drawn: Drawn, page: Page) -> None:
    metrics = drawn.read(drawn.second, "metrics.json")
    rankings = {
        "with its memory": metrics["memory"]["metrics"],
        "the model alone": metrics["metrics"],
        "popularity": metrics["baselines"]["popularity_ranking"],
        "random": metrics["baselines"]["random_ranking"],
        "item kNN": metrics["baselines"]["tuned"]["item kNN"]["metrics"],
    }
    for metric in METRICS:
        head, *rows = page.tables[f"ranks {metric}"]
        assert head[1:] == list(SLICES)
        assert rows == [
            [name, *(f"{values[s][metric]:.3f}" for s in SLICES)]
            for name, values in rankings.items()
        ]
    assert "EASE is left out: too many items" in page.text["recall"]


def test_the_served_version_stands_beside_it(drawn: Drawn, page: Page) -> None:
    against = drawn.read(drawn.second, "metrics.json")["against_served"]
    for metric in METRICS:
        for name, row in zip(SLICES, page.tables[f"beside {metric}"][1:], strict=True):
            now, before = (against[key][name][metric] for key in ("metrics", "served_metrics"))
            assert row[:3] == [name, f"{before:.3f}", f"{now:.3f}"]
            sign = "+" if now > before else "\N{MINUS SIGN}"
            assert row[3] == f"{sign}{abs(now - before):.3f}"
    assert "on the 235 items that both versions have" in page.text["recall"]


def test_data_drift_and_settings(drawn: Drawn, page: Page) -> None:
    rows = {row[0]: row[1:] for row in page.tables["data"][1:]}
    assert rows["items"] == ["245", "240", "10", "5"]
    assert rows["queries"] == ["60", "60", "0", "0"]
    assert {row[0] for row in page.tables["drift"][1:]} == {
        *("topic item", "colour item", "words item", "city query"),
    }
    assert ["training.num_epochs", "5", "4"] in page.tables["settings"]
    settings = drawn.read(drawn.second, "config.json")
    shown = {row[0]: row[1] for row in page.tables["settings"] if len(row) == 2}
    assert shown["training.batch_size"] == str(settings["training"]["batch_size"])
    assert shown["loss.logq"] == settings["loss"]["logq"]


def test_verdict_health_and_training(drawn: Drawn, page: Page) -> None:
    metrics = drawn.read(drawn.second, "metrics.json")
    verdict = page.text["verdict"]
    popular = metrics["baselines"]["popularity_ranking"]["overall"]["recall@50"]
    own = metrics["metrics"]["overall"]["recall@50"]
    assert f"overall recall@50 {own:.4f}, popularity ranking {popular:.4f}" in verdict
    assert f"item kNN finds more: {EVIL}" in verdict
    rows = {row[0]: row[1:] for row in page.tables["slices"][1:]}
    assert rows["tail"] == ["102", "\N{MINUS SIGN}5.00", "1.20", "27.0%"]
    assert page.tables["probes"][1] == ["topic", "87.6%", "25.0%", "4"]
    for words in ("12 of 16", "25.0%", "+0.31", "100.0%"):
        assert words in page.text["health"]
    assert "40 steps, 4 epochs" in page.text["training"]
    assert f"warm start from {drawn.first}" in page.text["training"]
    assert "1,234 examples a second" in page.text["training"]
    # The last values that are numbers: 4 / 40 + 1, and .5 in a line whose total is not one.
    assert "total 1.100" in page.text["training"]
    assert "retrieval 0.500" in page.text["training"]


def test_the_heat_map_has_every_pair(drawn: Drawn, source: str) -> None:
    plan = drawn.read(drawn.second, "masking_plan.json")
    titles = set(re.findall(r'title="([^"]+)"', source))
    for row, name in enumerate(plan["features"]):
        for column, other in enumerate(plan["features"]):
            assert f"{name}, {other}: {plan['matrix'][row][column]:.3f}" in titles


def test_the_page_holds_every_item_and_the_map(drawn: Drawn, source: str, page: Page) -> None:
    found = re.search(r'id="pack">([A-Za-z0-9+/=]+)</script>', source)
    assert found is not None
    pack = unpacked(found[1])
    embeddings = VersionSources(drawn.config, drawn.second).embeddings
    assert embeddings is not None
    assert pack["items"] == embeddings[0].to_pylist()
    assert pack["searchable"] == 245
    assert len(pack["neighbours"]) == 2450
    assert len(pack["map_x"]) == 60
    # The catalogue stands in another order than the embeddings: the topic follows the name.
    names = ["sea", "sky", f"x {EVIL}", "fire"]
    topics = [pack["values0"][code] for code in pack["codes0"]]
    assert topics == [names[sum(map(ord, item)) % 4] for item in pack["items"]]
    assert sorted(pack["groups"]) == sorted(names)
    assert "Coloured by topic" in page.text["map"]
    assert "60 of 245 items" in page.text["map"]
    assert EVIL in page.text["map"]


def test_nothing_is_loaded_and_data_is_never_markup(page: Page, source: str) -> None:
    assert [tag for tag, _ in page.tags if tag in ("img", "link", "iframe", "object")] == []
    assert EVIL not in source
    for tag, attributes in page.tags:
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        if "href" in attributes:
            assert re.fullmatch(r"#[a-z]+|index\.html", attributes["href"] or ""), tag
    assert "default-src 'none'" in source
    assert "http://" not in source
    assert "https://" not in source
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    targets = {a["href"] for t, a in page.tags if t == "a" and (a["href"] or "").startswith("#")}
    assert targets <= {f"#{each}" for each in ids}


def test_a_committed_version_is_not_touched(drawn: Drawn, tmp_path: Path) -> None:
    project = own_home(drawn, tmp_path)
    folders = [project.config.home / "versions", project.config.home / "runs"]
    before = [hashes(folder) for folder in folders]
    summary = write_report(project.config, project.first)
    assert [hashes(folder) for folder in folders] == before
    assert Path(summary["page"]) == project.config.home / "reports" / f"{project.first}.html"
    assert summary["bytes"] == Path(summary["page"]).stat().st_size
    first = Path(summary["page"]).read_bytes()
    write_report(project.config, project.first)
    assert Path(summary["page"]).read_bytes() == first
    page = Page(first.decode())
    assert "there is no version before it on disk" in page.text["data"]
    assert "neighbours" not in page.text


def test_a_refused_version_says_why(drawn: Drawn, tmp_path: Path) -> None:
    project = own_home(drawn, tmp_path)
    name = "20240210-0000000f"
    paths = VersionPaths(project.config, name)
    shutil.copytree(VersionPaths(project.config, project.second).folder, paths.folder)
    for file in (paths.manifest, paths.embeddings, paths.index, paths.seen_items):
        file.unlink()
    metrics = read_json(paths.metrics)
    metrics["metrics"]["overall"]["recall@50"] = 0.01
    metrics["memory"] = {"settings": None, "reason": "its votes find nothing more"}
    metrics["against_served"] = {"version": project.first, "not_comparable": "other features"}
    write_json(paths.metrics, metrics)
    assert write_report(project.config, name)["decision"] == "refused"
    page = Page((project.config.home / "reports" / f"{name}.html").read_text())
    assert (
        "The gate refuses it, for it is not better than the popularity ranking"
        in (page.text["header"])
    )
    assert "Train for more epochs" in page.text["verdict"]
    assert f"Not comparable with {project.first}: other features" in page.text["recall"]
    assert "No memory: its votes find nothing more." in page.text["recall"]
    assert page.tables["ranks recall@50"][1][:2] == ["this version", "0.010"]
    assert "search" not in page.text
    assert page.tables["data"][1] == ["items", "245", "240", "10", "5"]
    # It is in the index, but not in the plot of what was approved.
    index = Page((project.config.home / "reports" / "index.html").read_text())
    rows = {row[0].split()[0]: row for row in index.tables["versions"][1:]}
    assert rows[name][-1] == "refused"
    assert "0.010" not in index.text["timeline"]


def test_a_version_that_was_never_evaluated_has_a_page(drawn: Drawn, tmp_path: Path) -> None:
    project = own_home(drawn, tmp_path)
    VersionPaths(project.config, project.second).metrics.unlink()
    shutil.rmtree(RunPaths(project.config, DAYS[1]).folder)
    assert write_report(project.config)["decision"] == "not evaluated"
    page = Page((project.config.home / "reports" / f"{project.second}.html").read_text())
    assert "It is not evaluated yet." in page.text["header"]
    assert "The day's run was made again or removed" in page.text["data"]
    # The manifest still knows the queries; the embeddings and the pairs stand in the version.
    assert page.tables["data"][2] == ["queries", "60", "60", *["\N{EN DASH}"] * 2]
    assert "No single-valued feature fits" in page.text["map"]


def test_the_index_has_every_version_and_keeps_the_figures_of_removed_ones(
    drawn: Drawn, tmp_path: Path
) -> None:
    project = own_home(drawn, tmp_path)
    reports = project.config.home / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    write_report(project.config, project.first)
    shutil.rmtree(VersionPaths(project.config, project.first).folder)
    write_report(project.config)
    index = Page((reports / "index.html").read_text())
    for version, row, state in zip(
        (project.second, project.first),
        index.tables["versions"][1:],
        ("served", "removed"),
        strict=True,
    ):
        memory = drawn.read(version, "metrics.json")["memory"]["metrics"]
        assert row[0] == f"{version} {version[:4]}-{version[4:6]}-{version[6:8]} , {state}" or (
            row[0] == f"{version} {version[:4]}-{version[4:6]}-{version[6:8]}, {state}"
        )
        assert row[1] == ("245" if version == project.second else "240")
        assert row[2:5] == [
            f"{memory['overall']['recall@50']:.3f}",
            f"{memory['tail']['recall@50']:.3f}",
            f"{memory['overall']['map@10']:.3f}",
        ]
        assert row[5] == "approved"
        value = memory["overall"]["recall@50"]
        if version == project.second:
            assert f"recall@50 overall {value:.3f}" in index.text["timeline"]
    links = {a["href"] for tag, a in index.tags if tag == "a"}
    assert links == {f"{project.first}.html", f"{project.second}.html"}


def test_old_pages_go_and_those_of_versions_on_disk_stay(drawn: Drawn, tmp_path: Path) -> None:
    project = own_home(drawn, tmp_path)
    config = project.config.model_copy(update={"report": ReportConfig(keep_pages=3, map_points=10)})
    reports = config.home / "reports"
    reports.mkdir(exist_ok=True)
    for day in (1, 2, 3):
        (reports / f"2023010{day}-00000001.html").write_text("old")
    write_report(config, project.first)
    write_report(config, project.second)
    assert sorted(page.name for page in reports.glob("2*.html")) == [
        *("20230103-00000001.html", f"{project.first}.html", f"{project.second}.html"),
    ]


def test_a_large_catalogue_lists_its_popular_items(drawn: Drawn, tmp_path: Path) -> None:
    project = own_home(drawn, tmp_path)
    report = ReportConfig(max_items=50, map_points=60)
    config = project.config.model_copy(update={"report": report})
    source = Path(write_report(config)["page"]).read_text()
    found = re.search(r'id="pack">([A-Za-z0-9+/=]+)</script>', source)
    assert found is not None
    pack = unpacked(found[1])
    sources = VersionSources(config, project.second)
    assert sources.embeddings is not None
    items = sources.embeddings[0].to_pylist()
    counts = dict(zip(items, sources.interactions_of_items.tolist(), strict=True))
    assert pack["searchable"] == 50
    assert (
        sorted((counts[i] for i in pack["items"][:50]), reverse=True)
        == sorted(counts.values(), reverse=True)[:50]
    )
    assert len(pack["neighbours"]) == 500
    # Neighbours that are not listed have a name and features, and are no neighbour's list.
    assert max(pack["neighbours"]) < len(pack["items"]) == len(set(pack["items"]))
    assert len(pack["map_item"]) == 50
    assert max(pack["map_item"]) < 50
    assert (
        "The 50 items with most interactions can be looked up, of 245"
        in (Page(source).text["search"])
    )


def test_what_it_is_compared_with(drawn: Drawn, tmp_path: Path) -> None:
    project = own_home(drawn, tmp_path)
    config = project.config
    assert compared_version(config, VersionSources(config, project.second)) == project.first
    # The served version is of a later day, so it is not what the first one changed.
    assert compared_version(config, VersionSources(config, project.first)) is None
    metrics = VersionPaths(config, project.second).metrics
    write_json(metrics, {**read_json(metrics), "against_served": None})
    assert compared_version(config, VersionSources(config, project.second)) == project.first
    shutil.rmtree(VersionPaths(config, project.first).folder)
    assert compared_version(config, VersionSources(config, project.second)) is None


def test_what_cannot_be_reported_on(drawn: Drawn, tmp_path: Path) -> None:
    project = own_home(drawn, tmp_path)
    with pytest.raises(InputError, match=r"no version '\.\./x': versions on disk: 2024"):
        write_report(project.config, "../x")
    config = project.config.model_copy(update={"report": ReportConfig(color_by="words")})
    with pytest.raises(InputError, match="choose one of topic, colour"):
        write_report(config)
    (project.config.home / "published.json").unlink()
    with pytest.raises(LongtailError, match="nothing is published yet"):
        write_report(project.config)
    assert len(list_versions(project.config)) == 2


def test_numbers_are_rounded_for_people() -> None:
    assert [count(1_234_567), count(None)] == ["1,234,567", "\N{EN DASH}"]
    assert [share(0.12345), share(None)] == ["12.3%", "\N{EN DASH}"]
    assert [figure(0.77489), figure(2.5, 0)] == ["0.775", "2"]
    assert [change(0.0371), change(-0.0371), change(0.0001), change(None)] == [
        *("+0.037", "\N{MINUS SIGN}0.037", "0.000", "\N{EN DASH}"),
    ]


def test_the_command_prints_the_path(
    drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from longtail.cli.report import report

    project = own_home(drawn, tmp_path)
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("LONGTAIL_HOME", str(project.config.home))
    settings = tmp_path / "longtail.yaml"
    settings.write_text(f"feature_repo: {tmp_path}\nreport: {{map_points: 10}}\n")
    report(version=project.first, open_page=True, config=settings, as_json=True)
    document = json.loads(capfd.readouterr().out)
    page = project.config.home / "reports" / f"{project.first}.html"
    assert (document["page"], document["version"]) == (str(page), project.first)
    assert opened == [page.as_uri()]
