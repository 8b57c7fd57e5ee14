"""What stands on a version's page, as plain values that the template only has to place."""

import json
import math
from typing import Any

from longtail.config import Config
from longtail.embeddings.versions import list_versions
from longtail.evaluation.baselines.comparison import metrics_by_name, recommended_metrics, remarks
from longtail.evaluation.gate import judge
from longtail.evaluation.results import SLICES
from longtail.report.changes import changed_data, changed_settings, feature_drift, flat
from longtail.report.plots import heat_map, line_plot
from longtail.report.sources import VersionSources

METRICS = ("recall@50", "recall@10", "map@50", "map@10")
LOSSES = {
    "loss": "total",
    "main_loss": "retrieval",
    "self_supervised_loss": "self-supervision",
}

Contents = dict[str, Any]


def version_contents(
    config: Config, now: VersionSources, before: VersionSources | None
) -> Contents:
    """Return everything on the page but what needs the vectors.

    Args:
        config: the project.
        now: the version.
        before: the version that was served before it, or None.
    """
    metrics = now.metrics
    state = next(
        entry["state"] for entry in list_versions(config) if entry["version"] == now.version
    )
    contents: Contents = {
        "version": now.version,
        "as_of": now.as_of,
        "state": state,
        "created_at": (now.manifest or {}).get("created_at"),
        "parent": now.training.get("parent"),
        "before": before.version if before else None,
        "data": changed_data(now, before),
        "drift": feature_drift(now, before) if before else [],
        "run_is_its_own": now.run_is_its_own,
        "settings": {key: _text(value) for key, value in flat(now.settings).items()},
        "changed_settings": [
            {key: _text(value) if key != "key" else value for key, value in row.items()}
            for row in (changed_settings(now, before) if before else [])
        ],
        "heat_map": heat_map(now.correlations) if now.correlations else None,
        "training": now.training,
        "loss": loss_plot(now),
        "verdict": verdict(config, now),
        "rankings": rankings(metrics) if metrics else None,
        "against": against_served(metrics) if metrics else None,
        "remarks": remarks(metrics["baselines"]) if metrics else [],
        "memory": (metrics or {}).get("memory"),
        "health": (metrics or {}).get("health"),
        "index": (now.manifest or {}).get("index"),
    }
    contents["summary"] = summary(contents)
    return contents


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def loss_plot(sources: VersionSources) -> dict[str, Any] | None:
    """Place the curves of the version's `training.jsonl`."""
    file = sources.paths.training_log
    if not file.is_file():
        return None
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return line_plot(
        {
            words: [
                (line["step"], line[key])
                for line in lines
                if isinstance(line.get(key), float) and math.isfinite(line[key])
            ]
            for key, words in LOSSES.items()
        },
        from_zero=True,
    )


def verdict(config: Config, sources: VersionSources) -> Contents:
    """Return the gate's verdict and the rules behind it.

    The rules are applied again to the version's `metrics.json`, by the configuration as it is now.
    The decision is what the gate left behind: `approved.json`, or a committed version.

    Returns:
        `{"decision", "rulings", "warnings"}`. The decision is `approved`, `refused`, `undecided`
        (the rules are met, the gate has not run) or `not evaluated`.
    """
    metrics: Any = sources.metrics
    approval = sources.approval
    if metrics is None:
        return {"decision": "not evaluated", "rulings": [], "warnings": []}
    rulings = judge(config, metrics, against_served=bool(metrics["against_served"]))
    decision = "undecided"
    if approval or sources.manifest:
        decision = "approved"
    elif not all(ruling.passed for ruling in rulings):
        decision = "refused"
    return {
        "decision": decision,
        "rulings": [
            {"rule": r.rule, "passed": r.passed, "figures": r.figures, "cure": r.cure}
            for r in rulings
        ],
        "warnings": list((approval or {}).get("warnings", [])),
    }


def rankings(metrics: Any) -> list[Contents]:
    """Return recall and MAP by slice of the version, with its memory, and of the baselines.

    Returns:
        A row for each: `{"name", "own", <metric>: {<slice>: value}}`.
    """
    found = {"this version": metrics["metrics"]}
    if metrics.get("memory", {}).get("metrics"):
        found = {
            "with its memory": recommended_metrics(metrics),
            "the model alone": metrics["metrics"],
        }
    own = len(found)
    found |= metrics_by_name(metrics["baselines"])
    return [
        {
            "name": name,
            "own": number < own,
            "metrics": {
                metric: {s: by_slice.get(s, {}).get(metric) for s in SLICES} for metric in METRICS
            },
        }
        for number, (name, by_slice) in enumerate(found.items())
    ]


def against_served(metrics: Any) -> Contents | None:
    """Return recall and MAP beside those of the version that was served, on common items.

    Returns:
        `{"version", "num_common_items", "rows": [{"metric", "slice", "now", "before"}]}`;
        `{"version", "not_comparable"}` if the two cannot be compared; None without a served one.
    """
    against = metrics["against_served"]
    if against is None or "not_comparable" in against:
        return {**against} if against else None
    return {
        "version": against["version"],
        "num_common_items": against["num_common_items"],
        "rows": [
            {
                "metric": metric,
                "slice": name,
                "now": against["metrics"][name][metric],
                "before": against["served_metrics"][name][metric],
            }
            for metric in METRICS
            for name in SLICES
        ],
    }


_STATES = {
    "served": "is served now",
    "previous": "was served before the present version",
    "kept": "is kept on disk, and is not served",
    "incomplete": "is not published",
}
_DECISIONS = {
    "approved": "The gate approved it",
    "refused": "The gate refuses it",
    "undecided": "The gate has not decided on it",
    "not evaluated": "It is not evaluated yet",
}


def summary(contents: Contents) -> list[str]:
    """Return the sentences at the head of the page: what is served, what changed, the verdict."""
    sentences = [f"Version {contents['version']} {_STATES[contents['state']]}."]
    items = contents["data"][0]
    if items["now"] is not None:
        sentence = f"It has {items['now']:,} items as of {contents['as_of']}"
        if items["added"] is not None:
            sentence += (
                f", {items['added']:,} new and {items['removed']:,} gone since {contents['before']}"
            )
        sentences.append(sentence + ".")
    decision = contents["verdict"]["decision"]
    sentence = _DECISIONS[decision]
    if decision == "refused":
        failed = [each["rule"] for each in contents["verdict"]["rulings"] if not each["passed"]]
        sentence += f", for it is not {' and not '.join(failed)}"
    against = contents["against"]
    if against and "rows" in against:
        first = against["rows"][0]
        sentence += (
            f": {first['metric']} is {first['now']:.3f}, against {first['before']:.3f} of "
            f"{against['version']} on the items that both have"
        )
    elif contents["rankings"]:
        own = contents["rankings"][0]["metrics"]["recall@50"]["overall"]
        sentence += f": recall@50 is {own:.3f}"
    return [*sentences, sentence + "."]
