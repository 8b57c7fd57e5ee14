"""Finds the column that says when a row became true, and reads times as people write them.

`time_columns.py` chooses the column, and `row_times.py` corrects timestamps that only say when a
snapshot was taken. `time_names.py` knows the names of columns that hold times, and
`time_formats.py` the formats and their SQL. `column_times.py` finds the format of one column, with
one of three `outcomes.py`, and `time_questions.py` says what the user has to decide or correct.
"""
