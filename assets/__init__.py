"""The Dagster code location: thin assets that call `longtail`.

No module here imports torch, torchrec, feast or pandas at its top, because every run loads them
all again.

    dg dev                                              the demo, in a Dagster of its own
    DAGSTER_HOME=$PWD/.longtail/dagster dg dev          with the runs that `longtail run` made
    LONGTAIL_CONFIG=/path/to/longtail.yaml dg dev       another project
    dg launch --job refresh --partition 2023-06-10      one day, without the web interface

The assets, in the order of the flow:

    sources.py       the three tables that Feast reads
    features.py      catalogue, vocabularies, feature correlations
    training.py      training set, two-tower model
    evaluation.py    retrieval evaluation, approved model (the gate)
    publication.py   item embeddings, index, online embeddings, online query features

Checks, jobs, and what Dagster is given:

    table_checks.py  the checks of `longtail check`, before a run goes on
    checks.py        the checks of each asset after it was made
    jobs.py          `refresh`, `rollback` and `freshness`
    schedules.py     the daily refresh, the hourly freshness; off until they are switched on
    partitions.py    one partition per day
    resources.py     the project, and the client that starts training
    run_processes.py tells whether the process of a run still exists
    instance_settings.py  `dagster.yaml`, for one machine
    definitions.py   puts all of it together

Used by assets:

    stage.py         log lines into Dagster, errors into failures
    metadata.py      figures, tables and images for an asset's page
    associations.py  the table of value associations
    plots.py         the loss curve

Used by `longtail run`:

    run.py           refreshes one day in one process
    run_events.py    turns the events of that run into lines for people

Used by `longtail rollback`:

    served.py        tells Dagster which version is served
"""
