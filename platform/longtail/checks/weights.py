"""Checks of the weights of interactions: all 0, or unlike those that `longtail init` recorded."""

from collections.abc import Iterator
from typing import Any

from longtail.checks.check import check
from longtail.checks.inspected_project import Inspection
from longtail.checks.recorded_roles import RecordedWeights, exceeds, recording, roles_file
from longtail.features.feast.history import WEIGHT
from longtail.features.feast.table_validation import json_value
from longtail.features.finding import MAX_EXAMPLES, Finding


@check("error", "interactions")
def zero_weights(inspection: Inspection) -> Iterator[Finding]:
    """Weights that are 0 for every interaction: training would have a loss of 0 and learn nothing.

    A missing weight counts as 1. A join that found no weights, or an average that was rounded, may
    leave zeros everywhere.
    """
    if "interactions" not in inspection.known:
        return
    facts = inspection.row(
        f"SELECT count(*) AS num, count(*) FILTER ({WEIGHT} <> 0) AS num_counted FROM interactions"
    )
    if not facts["num_counted"]:
        source = inspection.sources["interactions"]
        rows = inspection.rows(
            f"SELECT * FROM interactions ORDER BY query_id, item_id LIMIT {MAX_EXAMPLES}"
        )
        yield Finding(
            f"column `{WEIGHT}` of {source} is 0 for all {facts['num']} pairs, so the loss of the "
            "training would be 0",
            "look for a join that lost the weights, or drop the column: then every interaction "
            "counts 1",
            *(source, "interactions", WEIGHT, facts["num"]),
            tuple({name: json_value(value) for name, value in row.items()} for row in rows),
        )


@check("warning", "interactions")
def weight_range(inspection: Inspection) -> Iterator[Finding]:
    """Weights unlike those that `longtail init` recorded: a new or missing column, other shares of
    0 or missing values, or a median outside their range, as with another unit.

    The recorded range is from the quantile of 10% to that of 90%. The limits are
    `checks.max_share_change` and `checks.max_weight_change`. All rows of the interactions count.
    """
    roles, interactions = inspection.roles, inspection.admitted.get("interactions")
    if roles is None or interactions is None or not interactions.rows.num_rows:
        return
    then = roles.weight
    if then is None or WEIGHT not in interactions.rows.column_names:
        yield from _appeared_or_gone(inspection, then)
        return
    now = _measured(inspection)
    if now["zero_share"] == 1.0:
        return  # `zero_weights` says so
    shares = list(_changed_shares(inspection, then, now))
    yield from shares
    # Other zeros move the quantiles as well, so one change would be told twice.
    if not shares:
        yield from _changed_unit(inspection, then, now)


def _measured(inspection: Inspection) -> dict[str, Any]:
    """Return the figures of `RecordedWeights`, over all interactions that are not refused."""
    return inspection.row(
        f"SELECT count(*) AS num_rows, count(*) FILTER ({WEIGHT} = 0) / count(*) AS zero_share, "
        f"count(*) FILTER ({WEIGHT} IS NULL) / count(*) AS missing_share, "
        + ", ".join(
            f"quantile_cont({WEIGHT}, {at})::DOUBLE AS {name}"
            for name, at in (("q10", 0.1), ("median", 0.5), ("q90", 0.9))
        )
        + " FROM admitted_interactions"
    )


def _appeared_or_gone(inspection: Inspection, then: RecordedWeights | None) -> Iterator[Finding]:
    """Find a column of weights that only the project or only its interactions have."""
    interactions = inspection.admitted["interactions"]
    source = interactions.source
    if then is not None:
        what = (
            f"{source} has no column `{WEIGHT}`{then.made_from(WEIGHT)} any more, so every "
            "interaction counts 1"
        )
        cure = "write the weights again, or, if it is meant, set `weight` to null in"
    elif WEIGHT in interactions.rows.column_names:
        what = (
            f"column `{WEIGHT}` of {source} was not there at `longtail init`, and decides now how "
            "much each interaction counts"
        )
        cure = "give the column another name, or, if it is meant, record it under `weight` in"
    else:
        return
    yield Finding(
        what,
        f"{cure} {roles_file(inspection.config.feature_repo)}",
        *(source, "interactions", WEIGHT, interactions.rows.num_rows),
    )


def _changed_shares(
    inspection: Inspection, then: RecordedWeights, now: dict[str, Any]
) -> Iterator[Finding]:
    """Find shares of weights that are 0, or missing, and that rose or fell."""
    for name, share, words in (
        ("zero_share", then.zero_share, "0"),
        ("missing_share", then.missing_share, "missing, which counts as 1,"),
    ):
        if exceeds(abs(now[name] - share), inspection.config.checks.max_share_change):
            yield _finding(
                *(inspection, then, now),
                f"is {words} in {now[name]:.1%} of the rows, against {share:.1%}",
                "look for a join that lost or filled weights",
                {f"{name}_then": share, f"{name}_now": now[name]},
            )


def _changed_unit(
    inspection: Inspection, then: RecordedWeights, now: dict[str, Any]
) -> Iterator[Finding]:
    """Find weights that are many times larger or smaller.

    Where many weights are 0, the lower quantiles say nothing about the others. So weights are
    smaller, too, if the quantile of 90% is far below the recorded median; a quantile of 0 is left
    to the share of zeros.
    """
    if now["median"] is None:
        return
    factor = inspection.config.checks.max_weight_change
    larger = now["median"] > factor * then.q90
    smaller = 0 < factor * now["median"] < then.q10 or 0 < factor * now["q90"] < then.median
    if larger or smaller:
        yield _finding(
            *(inspection, then, now),
            f"has a median of {now['median']:g}, against {then.median:g} (most weights were from "
            f"{then.q10:g} to {then.q90:g})",
            "look for another unit, such as cents for euros",
            {"median_then": then.median, "median_now": now["median"]},
        )


def _finding(
    inspection: Inspection,
    then: RecordedWeights,
    now: dict[str, Any],
    what: str,
    cure: str,
    figures: dict[str, Any],
) -> Finding:
    source = inspection.admitted["interactions"].source
    return Finding(
        f"column `{WEIGHT}` of {source}{then.made_from(WEIGHT)} {what} at `longtail init`",
        f"{cure}; {recording(inspection.config.feature_repo, 'weight')}",
        *(source, "interactions", WEIGHT, now["num_rows"], (figures,)),
    )
