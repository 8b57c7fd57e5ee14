"""Writes the page of a version, and the index of all pages."""

import logging
import time
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail.artifacts import read_json, replaced_file, write_json
from longtail.config import Config
from longtail.embeddings.published_pointer import read_pointer
from longtail.embeddings.versions import list_versions
from longtail.report.contents import METRICS, Contents, rankings, verdict, version_contents
from longtail.report.neighbour_lists import before_and_after, measure_stability, neighbours_of
from longtail.report.packed import Pack, pack_features, pack_items, pack_map, pack_neighbours
from longtail.report.plots import day_plot
from longtail.report.rendering import render
from longtail.report.sources import VersionSources, compared_version, reported_version
from longtail.report.space_map import choose_colouring, project

log = logging.getLogger("longtail.report")

INDEX = "index.html"
TIMELINE = (("overall", "recall@50"), ("tail", "recall@50"), ("cold", "recall@50"))

Rows = npt.NDArray[np.int64]


class ReportSummary(TypedDict):
    """The result of `write_report`.

    Attributes:
        version: the version's name.
        page: the path of its page.
        index: the path of the index of all pages.
        bytes: size of the page.
        decision: the gate's: `approved`, `refused`, `undecided` or `not evaluated`.
    """

    version: str
    page: str
    index: str
    bytes: int
    decision: str


def reports_folder(config: Config) -> Path:
    """Return the folder of the pages."""
    return config.home / "reports"


def write_report(config: Config, version: str | None = None) -> ReportSummary:
    """Write the page of a version, and the index of all pages.

    The version's folder is only read. A page that is there is written anew, since what is served
    may have changed. The page has everything that the version's files tell: a version that the gate
    refused has no vectors, so its page has no map and no search.

    Args:
        config: the project; the section `report` is read.
        version: the version; None for the served one.

    Raises:
        InputError: there is no such version, or `report.color_by` is no feature that can colour.
        LongtailError: nothing is published and no version was named, or a file is damaged.
    """
    start = time.monotonic()
    now = VersionSources(config, reported_version(config, version))
    other = compared_version(config, now)
    before = VersionSources(config, other) if other else None
    contents = version_contents(config, now, before)
    contents |= _of_the_vectors(config, now, before)
    page = reports_folder(config) / f"{now.version}.html"
    with replaced_file(page) as temporary:
        temporary.write_text(render("version.html", **contents), "utf-8")
    write_json(page.with_suffix(".json"), _figures(config, now))
    _remove_old_pages(config)
    index = write_index(config)
    log.info(
        "page of %s: %.1f MB in %.0f s",
        now.version,
        page.stat().st_size / 1e6,
        time.monotonic() - start,
    )
    return {
        "version": now.version,
        "page": str(page),
        "index": str(index),
        "bytes": page.stat().st_size,
        "decision": contents["verdict"]["decision"],
    }


def _of_the_vectors(
    config: Config, now: VersionSources, before: VersionSources | None
) -> dict[str, Any]:
    """Return the parts of the page that need embeddings; without any, they are None."""
    parts: Contents = dict.fromkeys(("stability", "examples", "map", "pack", "num_searchable"))
    if now.embeddings is None or not len(now.embeddings[0]):
        return parts
    items, vectors = now.embeddings
    order = np.argsort(-now.interactions_of_items, kind="stable")
    listed = np.sort(order[: config.report.max_items])
    log.info("neighbours of %d items", len(listed))
    lists = neighbours_of(config, now, listed)
    if before is not None:
        parts["stability"] = measure_stability(config, now, before)
        parts["examples"] = before_and_after(config, now, before)
    # The page knows the listed items first, then the neighbours that are not listed themselves.
    others = np.setdiff1d(lists.rows[lists.rows >= 0], listed)
    known = np.concatenate([listed, others])
    place = np.full(len(items) + 1, len(known), np.int64)
    place[known] = np.arange(len(known))
    pack = Pack()
    pack.put("searchable", len(listed))
    pack_items(pack, items.take(pa.array(known)), now.interactions_of_items[known])
    pack_neighbours(
        pack, np.where(lists.rows >= 0, place[lists.rows], -1), lists.scores, len(known)
    )
    catalogue = _catalogue_of(now, items)
    if catalogue is not None:
        pack_features(pack, catalogue.take(pa.array(known)), now.schema.item)
    # The map draws listed items alone, so that each point can be looked up.
    random = np.random.default_rng(0)
    size = min(config.report.map_points, len(listed))
    drawn = np.sort(random.choice(listed, size, replace=False))
    log.info("map of %d items", size)
    colouring = None
    if catalogue is not None:
        colouring = choose_colouring(
            catalogue, now.schema.item, lists.rows, listed, config.report.color_by
        )
    plane = project(vectors, drawn)
    group = colouring.group if colouring else np.full(len(items), -1, np.int64)
    pack_map(pack, plane["points"], place[drawn], group[drawn])
    groups = colouring.groups if colouring else []
    pack.put("groups", groups)
    parts["map"] = {
        "method": plane["method"],
        "num_points": size,
        "num_items": len(items),
        "colouring": colouring,
        "groups": [
            {"value": value, "num_items": int((group == number).sum())}
            for number, value in enumerate(groups)
        ],
    }
    parts["pack"] = pack.encoded()
    parts["num_searchable"] = len(listed)
    return parts


def _catalogue_of(sources: VersionSources, items: pa.Array) -> pa.Table | None:
    """Return the features of the embeddings' items, in their order; None if the run is gone."""
    table = sources.catalogue("item")
    if table is None:
        return None
    rows = pc.index_in(items, value_set=table[sources.key_column("item")].combine_chunks())
    return table.take(rows)


def _figures(config: Config, sources: VersionSources) -> dict[str, Any]:
    """Return the figures of a version that the index shows, also when the version is gone."""
    metrics = sources.metrics
    return {
        "version": sources.version,
        "as_of": sources.as_of,
        "created_at": (sources.manifest or {}).get("created_at"),
        "num_items": (sources.manifest or {}).get("num_items"),
        "decision": verdict(config, sources)["decision"],
        "metrics": rankings(metrics)[0]["metrics"] if metrics else None,
    }


def write_index(config: Config) -> Path:
    """Write the index of all versions on disk and of all that had a page, with a timeline."""
    folder = reports_folder(config)
    on_disk = {entry["version"]: entry["state"] for entry in list_versions(config)}
    known = {
        document["version"]: document
        for document in (read_json(file) for file in folder.glob("*.json"))
    }
    known |= {name: _figures(config, VersionSources(config, name)) for name in on_disk}
    rows = sorted(
        known.values(), key=lambda row: (row["as_of"], row["created_at"] or ""), reverse=True
    )
    for row in rows:
        row["state"] = on_disk.get(row["version"], "removed")
        row["page"] = f"{row['version']}.html"
        row["has_page"] = (folder / row["page"]).is_file()
    # A refused version was never served: it is in the table, but not on the line of what was.
    measured = [row for row in reversed(rows) if row["metrics"] and row["decision"] == "approved"]
    timeline = day_plot(
        {
            f"{metric} {name}": [
                (row["as_of"], row["metrics"][metric][name])
                for row in measured
                if row["metrics"][metric].get(name) is not None
            ]
            for name, metric in TIMELINE
        }
    )
    pointer = read_pointer(config)
    index = folder / INDEX
    with replaced_file(index) as temporary:
        temporary.write_text(
            render(
                "index.html",
                rows=rows,
                timeline=timeline,
                metrics=METRICS,
                served=pointer.served if pointer else None,
            ),
            "utf-8",
        )
    return index


def _remove_old_pages(config: Config) -> None:
    """Remove the pages of the oldest versions, beyond `report.keep_pages`; figures stay."""
    pages = sorted(reports_folder(config).glob("[0-9]*-*.html"), key=lambda page: page.stem)
    on_disk = {entry["version"] for entry in list_versions(config)}
    gone = [page for page in pages if page.stem not in on_disk]
    excess = len(pages) - config.report.keep_pages
    for page in gone[: max(0, excess)]:
        page.unlink()
