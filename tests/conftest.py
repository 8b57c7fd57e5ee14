"""The settings of property tests: `make test` draws the same examples at every run.

`make explore` draws new ones, and keeps those that failed in `.hypothesis/`. What it finds becomes
an `@example` of its test, so that `make test` shows it from then on.
"""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile("repeatable")
