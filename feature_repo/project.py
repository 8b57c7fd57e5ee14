"""The Feast project, and the folder of its embedded stores."""

from pathlib import Path

from feast import Project

project = Project(name="longtail", description="Debian's package graph")

# SQLite makes files but no folders, and `feast apply` must work before `longtail` has ever run.
(Path(__file__).resolve().parents[1] / ".longtail" / "feast").mkdir(parents=True, exist_ok=True)
