"""The interactions: a row for each package and each package that it needs, with its date.

There are positives only.
"""

from pathlib import Path

from feast import FileSource

interactions = FileSource(
    name="interactions",
    path=str(Path(__file__).resolve().parent / "data" / "interactions.parquet"),
    timestamp_field="event_timestamp",
)
