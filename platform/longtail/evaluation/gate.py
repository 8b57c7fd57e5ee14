"""The release gate: the rules that a version must meet before it is exported and published.

It writes a pointer, `approved.json`, and export and publication read the version from there alone:
a refused version cannot be published by starting those stages by hand.
"""

import logging
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config
from longtail.errors import GateRefusedError
from longtail.evaluation.baselines.comparison import (
    baselines_ahead,
    metrics_by_name,
    recommended_metrics,
)
from longtail.evaluation.evaluate import evaluate_version
from longtail.evaluation.results import Approval, Comparison, Evaluation, NoComparison
from longtail.evaluation.served_comparison import compared_with, version_to_beat
from longtail.fingerprints import file_hash, fingerprint

log = logging.getLogger("longtail.evaluation")

FIGURE: Final = "recall@50"


@dataclass(frozen=True)
class Ruling:
    """The outcome of one rule.

    Attributes:
        rule: what the rule asks for.
        passed: whether the version meets it.
        figures: what was compared, in words and numbers.
        cure: what to do if the rule is not met.
    """

    rule: str
    passed: bool
    figures: str
    cure: str


def approve(config: Config, as_of: date) -> Approval:
    """Approve the day's version, or refuse it.

    Args:
        config: the project; the section `gate` is read.
        as_of: the day; its `model.json` names the version.

    Returns:
        The content of `approved.json`.

    Raises:
        GateRefusedError: a rule is not met. No version of this day is approved any more, not even
            an earlier one; the served version stays served.
        LongtailError: the version is not trained or not evaluated.
    """
    paths = RunPaths(config, as_of)
    version = str(read_json(paths.model)["version"])
    served = version_to_beat(config, version)
    metrics: Evaluation = read_json(VersionPaths(config, version).metrics)
    if paths.approved.is_file():
        approved: Approval = read_json(paths.approved)
        same = approved.get("fingerprint") == _identity(config, version)
        if same and served in (None, approved["served"]):
            log.info("version %s is approved already", version)
            return approved
        # Removed before anything can fail, so that an earlier decision never holds for this
        # version.
        paths.approved.unlink()
    refuses = config.gate.baselines == "refuse"
    outdated = served is not None and served != compared_with(metrics)
    if outdated or (refuses and "tuned" not in metrics["baselines"]):
        # Another version was published since the evaluation, or the rule came later.
        metrics = evaluate_version(config, version, baselines=True)
    rulings = judge(config, metrics, against_served=served is not None)
    failed = [ruling for ruling in rulings if not ruling.passed]
    if failed:
        details = "; ".join(f"{each.rule}: {each.figures}. {each.cure}" for each in failed)
        raise GateRefusedError(
            f"the gate refuses version {version}, nothing was published: {details}"
        )
    reasons = [f"{ruling.rule}: {ruling.figures}" for ruling in rulings]
    warnings = [] if config.gate.baselines == "off" else baselines_ahead(metrics)
    for warning in warnings:
        log.warning("version %s: %s", version, warning)
    document: Approval = {
        "version": version,
        "as_of": as_of.isoformat(),
        "served": served,
        "reasons": reasons,
        "warnings": warnings,
        "fingerprint": _identity(config, version),
    }
    write_json(paths.approved, document)
    log.info("version %s is approved: %s", version, "; ".join(reasons))
    return document


def judge(config: Config, metrics: Evaluation, *, against_served: bool) -> list[Ruling]:
    """Apply the rules of the section `gate` to the figures of `metrics.json`.

    Args:
        config: the project.
        metrics: the evaluation of the version, with the baselines.
        against_served: whether the version must be as good as the served one; the evaluation then
            has a comparison with it.
    """
    rulings = [_has_evidence(metrics)]
    if config.gate.better_than_popularity:
        rulings.append(_better_than_popularity(metrics))
    if config.gate.baselines == "refuse":
        rulings.append(_as_good_as_baselines(metrics))
    if against_served:
        against, ratio = metrics["against_served"], config.gate.min_recall_ratio
        assert against is not None
        rulings += [_as_good_as_served(against, "overall", ratio)]
        rulings += [_as_good_as_served(against, "tail", ratio)]
    return rulings


def _identity(config: Config, version: str) -> str:
    """Return a hash of all that a decision depends on, except the served version."""
    metrics = file_hash(VersionPaths(config, version).metrics)
    return fingerprint(version, metrics, config.gate.model_dump(mode="json"))


def _has_evidence(metrics: Evaluation) -> Ruling:
    num_pairs = metrics["metrics"]["overall"]["num_pairs"]
    return Ruling(
        "measured on held-out pairs",
        num_pairs > 0,
        f"{num_pairs} pairs",
        "Give more interactions, or raise `dataset.test_fraction`",
    )


def _better_than_popularity(metrics: Evaluation) -> Ruling:
    own = metrics["metrics"]["overall"][FIGURE]
    popular = metrics["baselines"]["popularity_ranking"]["overall"][FIGURE]
    return Ruling(
        "better than the popularity ranking",
        own > popular,
        f"overall {FIGURE} {own:.4f}, popularity ranking {popular:.4f}",
        "Train for more epochs, or check the features with `longtail check`",
    )


def _as_good_as_baselines(metrics: Evaluation) -> Ruling:
    own = recommended_metrics(metrics)["overall"][FIGURE]
    measured = metrics_by_name(metrics["baselines"])
    found = {name: each["overall"][FIGURE] for name, each in measured.items()}
    best = max(found, key=lambda name: found[name])
    return Ruling(
        "as good as every baseline",
        own >= found[best],
        f"overall {FIGURE} {own:.4f}, the best baseline, {best}, {found[best]:.4f}",
        "Train for more epochs, or set `gate.baselines: warn` if you accept less",
    )


def _as_good_as_served(
    against: Comparison | NoComparison, name: Literal["overall", "tail"], ratio: float
) -> Ruling:
    rule = f"{name} as good as the served version"
    if "not_comparable" in against:
        return Ruling(rule, True, f"not comparable: {against['not_comparable']}", "")
    own = against["metrics"][name][FIGURE]
    served = against["served_metrics"][name][FIGURE]
    return Ruling(
        rule,
        own >= ratio * served,
        f"{name} {FIGURE} {own:.4f}, served version {against['version']} {served:.4f}, at least "
        f"{ratio:g} of it is required, on {against['num_common_items']} common items",
        "Train for more epochs, set `training.warm_start: false`, or lower `gate.min_recall_ratio` "
        "if you accept the loss",
    )
