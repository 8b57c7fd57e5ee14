"""The list of all checks. To add a check, write its function and list it here."""

from collections.abc import Sequence

from longtail.checks import (
    cardinality,
    changed_roles,
    drift,
    environment,
    late_features,
    leakage,
    mixed_types,
    unknown_keys,
    weights,
)
from longtail.checks import table_reading as refused_rows
from longtail.checks.check import Check, Severity
from longtail.checks.inspected_project import Inspection
from longtail.config import ChecksConfig
from longtail.features.finding import Finding

CHECKS: tuple[Check, ...] = (
    refused_rows.configuration,
    refused_rows.feature_definitions,
    changed_roles.recorded_roles,
    environment.packages,
    environment.java,
    environment.gpu,
    environment.online_store,
    environment.disk_space,
    environment.memory,
    refused_rows.table_schema,
    refused_rows.empty_tables,
    refused_rows.refused_share,
    refused_rows.null_keys,
    refused_rows.duplicate_rows,
    refused_rows.contradicting_rows,
    refused_rows.future_timestamps,
    refused_rows.bad_weights,
    weights.zero_weights,
    unknown_keys.mismatched_keys,
    unknown_keys.dangling_keys,
    changed_roles.key_overlap,
    changed_roles.time_range,
    weights.weight_range,
    changed_roles.tombstone,
    mixed_types.mixed_types,
    cardinality.near_unique,
    cardinality.constant_columns,
    cardinality.nearly_empty,
    late_features.late_features,
    leakage.label_leakage,
    drift.coverage_drift,
    drift.cardinality_drift,
    drift.distribution_drift,
)


def severity_of(check: Check, config: ChecksConfig) -> Severity:
    """Return the severity of a check's findings under a project's configuration."""
    return config.severity.get(check.name, check.severity)


def unknown_checks(config: ChecksConfig) -> list[Finding]:
    """Return a finding for each name in `checks.severity` that is not the name of a check."""
    names = [check.name for check in CHECKS]
    return [
        Finding(
            f"`checks.severity.{name}` is not a check",
            f"remove it, or use one of {', '.join(names)}",
            "the configuration",
            column=f"checks.severity.{name}",
        )
        for name in config.severity
        if name not in names
    ]


def run_checks(
    inspection: Inspection, checks: Sequence[Check] = CHECKS
) -> list[tuple[Check, Severity, Finding]]:
    """Run checks in order and return their findings. Ignored checks are not run."""
    return [
        (check, severity, finding)
        for check in checks
        if (severity := severity_of(check, inspection.config.checks)) != "ignore"
        for finding in check.find(inspection)
    ]
