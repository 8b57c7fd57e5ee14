"""`longtail init`: turns three tables into a Feast repository and a configuration that run.

`project.py` runs the whole and moves the finished project to its place. The steps, in order:

1. `opened_table.py` opens each table: `tables/` finds its files and decides how its columns are
   read, `times/` finds its timestamps and reads them.
2. `keys/` finds the ids of items and queries; `table_checks.py` refuses tables that do not fit each
   other. `weights.py` finds the weight of an interaction, `tombstones.py` the column that says
   which items still exist.
3. `feature_kinds.py` decides which kind of feature each column becomes, from the counts of
   `column_profile.py`, under a name from `safe_names.py`.
4. `embedding_tables.py` gives the columns their embedding tables, shared where
   `shared_vocabularies.py` finds the same values, and leaves out columns that add nothing.
5. `infer.py` runs steps 1 to 4. The result is a `ProjectPlan` (`project_plan.py`), with the role of
   every column (`column_roles.py`) and the figures behind the roles (`roles_file.py`).
6. `project_files/` writes the tables, the Feast definitions and `longtail.yaml`.
7. `summary.py` describes the result as one JSON document.

Where the tables leave something open, a step raises an `OpenQuestion` (`questions.py`): the command
line asks it on a terminal, and elsewhere it is the error.
"""
