"""The tables that commands print, one module for each kind of result.

result_tables.py       the house style, facts, retrieval metrics, search results, versions
correlation_tables.py  the correlation matrix, the masking plan, value associations
health_tables.py       embedding health
init_tables.py         the summary of a new project
study_tables.py        the figures of a study
tuning_tables.py       the trials of `tune`, and what they chose
"""
