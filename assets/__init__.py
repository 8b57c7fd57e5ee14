"""The Dagster code location: thin assets that call `longtail`.

Nothing here imports torch, torchrec, feast or pandas when it is loaded: every run loads it again.

    dg dev                                              the demo, in a Dagster of its own
    DAGSTER_HOME=$PWD/.longtail/dagster dg dev          with the runs that `longtail run` made
    LONGTAIL_CONFIG=/path/to/longtail.yaml dg dev       another project
    dg launch --job refresh --partition 2023-06-10      one day, without the web interface
"""
