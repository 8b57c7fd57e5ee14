"""Reads the three tables as the user has them.

`raw_tables.py` finds the files and their columns. `csv_files.py` turns CSV into Parquet:
`csv_text.py` opens a file as text, and `csv_layout.py` finds its delimiter and its names.
`column_readings.py` decides how each column is read, and `values_in_text.py` finds the numbers,
dates and lists that are written as text. `sql.py` quotes names and values for DuckDB.
"""
