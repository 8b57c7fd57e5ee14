"""Reads the three tables as the user has them.

`raw_tables.py` finds the files and their columns, `csv_files.py` turns CSV into Parquet,
`column_readings.py` decides how each column is read, and `lists_in_text.py` finds lists that are
written as text. `sql.py` quotes names and values for DuckDB.
"""
