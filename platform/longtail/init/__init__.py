"""`longtail init`: turns three tables into a Feast repository and a configuration that run.

`project.py` runs the whole and moves the finished project to its place. The steps, in order:

1. `opened_table.py` opens each table: `tables/` finds its files and decides how its columns are
   read, `time_columns.py` finds its timestamps.
2. `key_columns.py` finds the ids of items and queries; `table_checks.py` refuses tables that do not
   fit each other.
3. `feature_kinds.py` decides which kind of feature each column becomes, from the counts of
   `column_profile.py`, under a name from `safe_names.py`.
4. `row_times.py` corrects timestamps that only say when a snapshot was taken.
5. `embedding_tables.py` gives the columns their embedding tables, shared where
   `shared_vocabularies.py` finds the same values, and leaves out columns that add nothing.
6. `infer.py` runs steps 1 to 5. The result is a `ProjectPlan` (`project_plan.py`).
7. `normalised_tables.py` writes the tables, `feast_repository.py` and `feature_views.py` the Feast
   definitions (formatted by `python_text.py`), `configuration_text.py` writes `longtail.yaml`.
8. `summary.py` describes the result as one JSON document.
"""
