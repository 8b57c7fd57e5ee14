"""The checks that run before anything is made from the data.

What runs them and what they look at:

- preflight.py: looks at configuration, definitions, tables and machine, and runs the checks.
- registry.py: the one list of checks.
- check.py: what a check is: a function with a name and a severity.
- inspected_project.py: the project and its tables, as the checks see them.
- recorded_roles.py: what `longtail init` understood and measured, `roles.json`.
- report.py: the findings of all checks as one document.

The checks themselves, by what they look at:

- table_reading.py: configuration and tables that cannot be read, and the rows that were refused.
- unknown_keys.py: interactions with a query or an item that no table has.
- changed_roles.py: keys, times and tombstones unlike those that `longtail init` recorded.
- weights.py: weights of interactions that are all 0, or unlike those recorded.
- mixed_types.py: values of two kinds in one column.
- cardinality.py: columns that say too little, or something else in every row.
- leakage.py: features that give the answer away.
- late_features.py: features that a query cannot have when it asks.
- drift.py: changes since the served version.
- environment.py: packages, Java, a GPU, stores, disk and memory of this machine.

A check returns findings (`features/finding.py`). Rows are refused in
`features/feast/refused_rows.py`. CHECKS.md explains the checks to users.
"""
