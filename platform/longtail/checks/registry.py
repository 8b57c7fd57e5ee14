"""The one list of checks. To add one: write its function, and name it here."""

from collections.abc import Sequence

from longtail.checks import cardinality, drift, environment, leakage
from longtail.checks import late_features as serving
from longtail.checks import mixed_types as types
from longtail.checks import refused_rows as refused
from longtail.checks import unknown_keys as keys
from longtail.checks.check import Check, Severity
from longtail.checks.inspection import Inspection
from longtail.config import ChecksConfig
from longtail.features.finding import Finding

CHECKS: tuple[Check, ...] = (
    refused.configuration,
    refused.feature_definitions,
    environment.packages,
    environment.java,
    environment.gpu,
    environment.online_store,
    environment.disk_space,
    environment.memory,
    refused.table_schema,
    refused.empty_tables,
    refused.refused_share,
    refused.null_keys,
    refused.duplicate_rows,
    refused.contradicting_rows,
    refused.future_timestamps,
    refused.bad_weights,
    keys.mismatched_keys,
    keys.dangling_keys,
    types.mixed_types,
    cardinality.near_unique,
    cardinality.constant_columns,
    cardinality.nearly_empty,
    serving.late_features,
    leakage.label_leakage,
    drift.coverage_drift,
    drift.cardinality_drift,
    drift.distribution_drift,
)


def severity_of(check: Check, config: ChecksConfig) -> Severity:
    """What a finding of the check is in a project."""
    return config.severity.get(check.name, check.severity)


def unknown_checks(config: ChecksConfig) -> list[Finding]:
    """Names in `checks.severity` that no check has."""
    names = [check.name for check in CHECKS]
    return [
        Finding(
            f"`checks.severity.{name}` is no check",
            f"remove it, or take one of {', '.join(names)}",
            "the configuration",
            column=f"checks.severity.{name}",
        )
        for name in config.severity
        if name not in names
    ]


def run_checks(
    inspection: Inspection, checks: Sequence[Check] = CHECKS
) -> list[tuple[Check, Severity, Finding]]:
    """Everything that the checks find, in their order; what is ignored is not looked for."""
    return [
        (check, severity, finding)
        for check in checks
        if (severity := severity_of(check, inspection.config.checks)) != "ignore"
        for finding in check.find(inspection)
    ]
