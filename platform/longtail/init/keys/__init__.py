"""Finds the columns that identify items and queries.

`key_columns.py` weighs all pairs of columns, by the values and by what `name_evidence.py` and
`row_numbers.py` say. Where several pairs fit equally it raises an `OpenQuestion`. `id_rules.py`
makes ids alike, and `unmatched_ids.py` says why ids that should be alike are not.
"""
