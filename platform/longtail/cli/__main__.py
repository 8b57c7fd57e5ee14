"""`python -m longtail.cli`: the `longtail` command."""

from longtail.cli import main

main()
