"""Metadata for an asset's page: figures that Dagster charts over time, tables, small images."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dagster import MetadataValue, TableRecord

Metadata = dict[str, MetadataValue[Any] | str | int | float | bool]

# Larger images would bloat the event log, so only their path is shown.
_MAX_INLINE_BYTES = 300_000


def figures(summary: Mapping[str, Any]) -> Metadata:
    """Return the plain values of a stage's summary, without nested and missing ones."""
    return {
        key: value for key, value in summary.items() if isinstance(value, str | int | float | bool)
    }


def image(file: Path, title: str) -> MetadataValue[Any]:
    """Return Markdown that shows a PNG and the path of its file.

    Dagster has no image type, but its page shows a data URI inside Markdown.
    """
    content = file.read_bytes()
    caption = f"`{file}`"
    if len(content) > _MAX_INLINE_BYTES:
        return MetadataValue.md(caption)
    encoded = base64.b64encode(content).decode("ascii")
    return MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})\n\n{caption}")


def table(rows: Sequence[Mapping[str, str | int | float | bool | None]]) -> MetadataValue[Any]:
    """Return a table of at least one row; every row has the same columns."""
    return MetadataValue.table(records=[TableRecord(dict(row)) for row in rows])


def slice_table(metrics: Mapping[str, Any]) -> MetadataValue[Any]:
    """Return a table of metrics by slice: one row per slice, one column per metric."""
    return table([{"slice": name, **values} for name, values in metrics.items()])


def charted(metrics: Mapping[str, Any]) -> Metadata:
    """Return every metric by slice under a name of its own, such as `tail_recall_at_50`.

    Dagster charts each over time. Metrics without a value are left out.
    """
    return {
        f"{name}_{metric.replace('@', '_at_')}": value
        for name, values in metrics.items()
        for metric, value in values.items()
        if value is not None
    }


def health_figures(health: Mapping[str, Any]) -> Metadata:
    """Return embedding health: a table of the slices, one of the probes, every figure charted."""
    probes = {
        name: {"probe_accuracy": values["accuracy"], "probe_majority": values["majority"]}
        for name, values in health["probes"].items()
    }
    metadata: Metadata = {
        "embedding_health": slice_table(health["slices"]),
        "effective_rank": health["effective_rank"],
        **charted(health["slices"]),
        **charted({"popularity_correlation": health["popularity_correlation"]}),
        **charted(probes),
    }
    if health["probes"]:
        rows = [{"left-out feature": name, **each} for name, each in health["probes"].items()]
        metadata["linear_probes"] = table(rows)
    return metadata


def turnover_table(stamp: Mapping[str, Any]) -> MetadataValue[Any]:
    """Return a table of the vocabularies' growth and decay, one row per embedding table.

    A hashed table has only its number of rows.
    """
    nothing = dict.fromkeys(("new", "kept", "freed", "free", "compacted"))
    return table(
        [
            {"table": name, **nothing, **stamp["turnover"].get(name, {}), "rows": rows}
            for name, rows in stamp["num_rows"].items()
        ]
    )
