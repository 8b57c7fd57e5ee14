"""The file `dagster.yaml` of a Dagster home: settings that suit one machine."""

from pathlib import Path

INSTANCE_SETTINGS = """\
# Written by `longtail run`, because there was no such file. You can edit it.
telemetry:
  enabled: false
# A backfill trains one day at a time. A larger machine may do more at once.
concurrency:
  runs:
    max_concurrent_runs: 1
# A run whose process is gone must not hold the queue: this launcher finds it, and the daemon ends
# it as failed.
run_launcher:
  module: assets.run_processes
  class: CheckedRunLauncher
run_monitoring:
  enabled: true
  poll_interval_seconds: 15
  start_timeout_seconds: 120
  cancel_timeout_seconds: 90
  max_runtime_seconds: 86400
# Such a run starts again. One that failed in a step does not, because it would fail again.
run_retries:
  enabled: true
  max_retries: 3
  retry_on_asset_or_op_failure: false
"""

# An unedited file of an earlier release is replaced.
_EARLIER_SETTINGS = (
    """\
# Written by `longtail run`, because there was no such file. You can edit it.
telemetry:
  enabled: false
# A backfill trains one day at a time. A larger machine may do more at once.
concurrency:
  runs:
    max_concurrent_runs: 1
# The run of a process that was killed must not hold the queue for ever.
run_monitoring:
  enabled: true
  max_runtime_seconds: 86400
""",
)


def write_settings(home: Path) -> None:
    """Write `dagster.yaml` into a Dagster home, unless somebody has written or edited one."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / "dagster.yaml"
    if not file.exists() or file.read_text(encoding="utf-8") in _EARLIER_SETTINGS:
        file.write_text(INSTANCE_SETTINGS, encoding="utf-8")
