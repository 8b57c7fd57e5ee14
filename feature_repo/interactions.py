"""The interactions: which package needs which, since when. Positives only."""

from pathlib import Path

from feast import FileSource

interactions = FileSource(
    name="interactions",
    path=str(Path(__file__).resolve().parent / "data" / "interactions.parquet"),
    timestamp_field="event_timestamp",
)
