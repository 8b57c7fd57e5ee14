"""The release gate: what a version must show before export and publication may touch it.

It writes a pointer, `approved.json`, and the stages downstream read nothing else: a version that
was refused cannot be published by starting those stages by hand.
"""

import logging
from dataclasses import dataclass
from datetime import date
from typing import Any

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config
from longtail.errors import GateRefusedError
from longtail.evaluation.served_comparison import version_to_beat
from longtail.fingerprints import file_hash, fingerprint

log = logging.getLogger("longtail.evaluation")

FIGURE = "recall@50"


@dataclass(frozen=True)
class Ruling:
    """One rule, applied.

    Attributes:
        rule: what is asked.
        passed: whether it is met.
        figures: what was compared, in words and numbers.
        cure: what to do where it is not met.
    """

    rule: str
    passed: bool
    figures: str
    cure: str


def approve(config: Config, as_of: date) -> dict[str, Any]:
    """Let the day's version pass, or refuse it.

    Args:
        config: the project; the section `gate` is read.
        as_of: the day whose `model.json` names the version.

    Returns:
        The content of `approved.json`: `{"version", "as_of", "reasons": [one a rule, with
        figures], "served": the version that it was measured against, or None}`.

    Raises:
        GateRefusedError: a rule is not met. Nothing is approved for this day any more, an earlier
            version of the day included; what is served stays served.
        LongtailError: the version is not trained or not evaluated.
    """
    paths = RunPaths(config, as_of)
    version = str(read_json(paths.model)["version"])
    served = version_to_beat(config, version)
    metrics = read_json(VersionPaths(config, version).metrics)
    if paths.approved.is_file():
        approved: dict[str, Any] = read_json(paths.approved)
        same = approved.get("fingerprint") == _identity(config, version)
        if same and served in (None, approved["served"]):
            log.info("version %s is approved already", version)
            return approved
        # From here on, whatever happens, an earlier decision does not stand for this version.
        paths.approved.unlink()
    if served is not None and served != (metrics["against_served"] or {}).get("version"):
        # Another version was published since the evaluation.
        from longtail.evaluation.evaluate import evaluate_version

        metrics = evaluate_version(config, version, baselines=True)
    rulings = judge(config, metrics, against_served=served is not None)
    failed = [ruling for ruling in rulings if not ruling.passed]
    if failed:
        details = "; ".join(f"{each.rule}: {each.figures}. {each.cure}" for each in failed)
        raise GateRefusedError(
            f"the gate refuses version {version}, nothing was published: {details}"
        )
    reasons = [f"{ruling.rule}: {ruling.figures}" for ruling in rulings]
    document = {
        "version": version,
        "as_of": as_of.isoformat(),
        "served": served,
        "reasons": reasons,
        "fingerprint": _identity(config, version),
    }
    write_json(paths.approved, document)
    log.info("version %s is approved: %s", version, "; ".join(reasons))
    return document


def judge(config: Config, metrics: dict[str, Any], *, against_served: bool) -> list[Ruling]:
    """Apply the rules of the section `gate` to the figures of `metrics.json`.

    Args:
        config: the project.
        metrics: the document that `evaluate_version` writes.
        against_served: whether the version has to hold its own against the served one.
    """
    rulings = [_has_evidence(metrics)]
    if config.gate.better_than_popularity:
        rulings.append(_better_than_popularity(metrics))
    if against_served:
        ratio = config.gate.min_recall_ratio
        rulings += [
            _holds_its_own(metrics["against_served"], name, ratio) for name in ("overall", "tail")
        ]
    return rulings


def _identity(config: Config, version: str) -> str:
    """What a decision is made from."""
    metrics = file_hash(VersionPaths(config, version).metrics)
    return fingerprint(version, metrics, config.gate.model_dump(mode="json"))


def _has_evidence(metrics: dict[str, Any]) -> Ruling:
    num_pairs = metrics["metrics"]["overall"]["num_pairs"]
    return Ruling(
        "measured on held-out pairs",
        num_pairs > 0,
        f"{num_pairs} pairs",
        "Give more interactions, or raise `dataset.test_fraction`",
    )


def _better_than_popularity(metrics: dict[str, Any]) -> Ruling:
    own = metrics["metrics"]["overall"][FIGURE]
    popular = metrics["baselines"]["popularity_ranking"]["overall"][FIGURE]
    return Ruling(
        "better than the popularity ranking",
        own > popular,
        f"overall {FIGURE} {own:.4f}, popularity ranking {popular:.4f}",
        "Train for more epochs, or check the features with `longtail check`",
    )


def _holds_its_own(against: dict[str, Any], name: str, ratio: float) -> Ruling:
    rule = f"{name} as good as the served version"
    if "not_comparable" in against:
        return Ruling(rule, True, f"not comparable: {against['not_comparable']}", "")
    own = against["metrics"][name][FIGURE]
    served = against["served_metrics"][name][FIGURE]
    return Ruling(
        rule,
        own >= ratio * served,
        f"{name} {FIGURE} {own:.4f}, served version {against['version']} {served:.4f}, at least "
        f"{ratio:g} of it is asked, on {against['num_common_items']} common items",
        "Train for more epochs, set `training.warm_start: false`, or lower `gate.min_recall_ratio` "
        "if the loss is meant",
    )
