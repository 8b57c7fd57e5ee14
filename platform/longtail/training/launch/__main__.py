"""`python -m longtail.training.launch`: trains the version of a day in processes of its own."""

from longtail.training.launch.launcher import main

main()
