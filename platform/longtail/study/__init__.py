"""Studies: grids of variants x data fractions x seeds, tuned on validation, reported on test.

In reading order:

- `variants`: the named changes to the configuration that a study compares.
- `grid`: a plan, that is a grid of variants, fractions and seeds.
- `presets`: the plans that have a name.
- `cells`: one model of the grid, its identity, and the JSON file with its figures.
- `search_axes`, `tuning`: the hyper-parameters that are tried, and the search over them.
- `runner`: runs the cells that are not finished yet, in lines of work that wait for each other.
- `workers`, `worker_task`: the processes that train, and the function that they run.
- `cell_measurement`: trains the model of a cell and measures it.
- `deciles`: recall by the popularity of items.
- `intervals`, `summary`: means over seeds with intervals, and differences from the reference.
- `paper_figures`: the results of the paper, shown beside ours.
- `tables`, `plots`, `report`: the pages `study.md` and `study.html`.
- `whole_study`: a study from beginning to end.
"""
