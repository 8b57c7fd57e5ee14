"""Writes the files of a new project from its plan.

`normalised_tables.py` writes the tables, `feast_repository.py` and `feature_views.py` the Feast
definitions (formatted by `python_text.py`), and `configuration_text.py` writes `longtail.yaml`.
"""
