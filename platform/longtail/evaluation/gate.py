"""The release gate: the rules that a version must meet before it is exported and published.

It writes a pointer, `approved.json`, and export and publication read the version from there alone:
a refused version cannot be published by starting those stages by hand.
"""

import logging
from dataclasses import asdict, dataclass
from datetime import date
from typing import Final, Literal

from longtail.artifacts import RunPaths, VersionPaths, gate_reference, read_json, write_json
from longtail.config import Config
from longtail.errors import GateRefusedError
from longtail.evaluation.baselines.comparison import (
    baselines_ahead,
    metrics_by_name,
    recommended_metrics,
)
from longtail.evaluation.evaluate import evaluate_version
from longtail.evaluation.reference import (
    compare_with_reference,
    reference_version,
    set_reference,
)
from longtail.evaluation.results import Approval, Comparison, Evaluation, NoComparison
from longtail.evaluation.served_comparison import compared_with, version_to_beat
from longtail.fingerprints import file_hash, fingerprint

log = logging.getLogger("longtail.evaluation")

FIGURE: Final = "recall@50"
ORDER_FIGURE: Final = "map@10"


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
    # The first version that others are measured against becomes the reference.
    reference = served and (reference_version(config) or served)
    metrics: Evaluation = read_json(VersionPaths(config, version).metrics)
    if paths.approved.is_file():
        approved: Approval = read_json(paths.approved)
        same = approved.get("fingerprint") == _identity(config, version)
        measured = (approved["served"], approved.get("reference", approved["served"]))
        if same and (served is None or measured == (served, reference)):
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
    if reference not in (None, served, version):
        against = compare_with_reference(config, version, reference)
        rulings += _as_good_as(config, against, "reference")
        if "not_comparable" in against:
            reference = served  # the next versions can be measured against this one
    failed = [ruling for ruling in rulings if not ruling.passed]
    if failed:
        details = "; ".join(f"{each.rule}: {each.figures}. {each.cure}" for each in failed)
        raise GateRefusedError(
            f"the gate refuses version {version}, nothing was published: {details}",
            version=version,
            rulings=[asdict(each) for each in rulings],
        )
    reasons = [f"{ruling.rule}: {ruling.figures}" for ruling in rulings]
    warnings = [] if config.gate.baselines == "off" else baselines_ahead(metrics)
    for warning in warnings:
        log.warning("version %s: %s", version, warning)
    document: Approval = {
        "version": version,
        "as_of": as_of.isoformat(),
        "served": served,
        "reference": reference,
        "reasons": reasons,
        "warnings": warnings,
        "fingerprint": _identity(config, version),
    }
    write_json(paths.approved, document)
    if reference is not None and reference != reference_version(config):
        set_reference(config, reference)
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
        against = metrics["against_served"]
        assert against is not None
        rulings += _as_good_as(config, against, "served version")
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


def _as_good_as(
    config: Config,
    against: Comparison | NoComparison,
    other: Literal["served version", "reference"],
) -> list[Ruling]:
    """Apply the rules of a comparison with another version: recall, on the tail too, and order."""
    gate = config.gate
    rules: list[
        tuple[str, Literal["overall", "tail"], Literal["recall@50", "map@10"], float, str]
    ] = [
        (f"overall as good as the {other}", "overall", FIGURE, gate.min_recall_ratio, "recall"),
        (f"tail as good as the {other}", "tail", FIGURE, gate.min_recall_ratio, "recall"),
        (
            f"the first ten in as good an order as the {other}'s",
            "overall",
            ORDER_FIGURE,
            gate.min_map_ratio,
            "map",
        ),
    ]
    accept = (
        "if you accept the loss"
        if other == "served version"
        else f"for good, or remove `{gate_reference(config).name}` from the project's home, which "
        "makes the served version the reference, if you accept the loss"
    )
    rulings = []
    for rule, name, figure, ratio, setting in rules:
        if "not_comparable" in against:
            words = f"not comparable: {against['not_comparable']}"
            rulings.append(Ruling(rule, True, words, ""))
            continue
        own = float(against["metrics"][name][figure])
        beside = float(against["served_metrics"][name][figure])
        rulings.append(
            Ruling(
                rule,
                own >= ratio * beside,
                f"{name} {figure} {own:.4f}, {other} {against['version']} {beside:.4f}, at least "
                f"{ratio:g} of it is required, on {against['num_common_items']} common items",
                "Train for more epochs, set `training.warm_start: false`, or lower "
                f"`gate.min_{setting}_ratio` {accept}",
            )
        )
    return rulings
