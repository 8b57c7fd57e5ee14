"""The training set on disk, and the batches that training reads from it.

Building the training set, in the order of the data's flow:

- build_training_set.py: the stage from the catalogue to the files of a training set.
- interactions.py: the interactions as numbers, read block by block.
- feature_states.py: groups interactions that see the same features of a key.
- side_rows.py: the encoded feature rows of one side, point in time and as of the day.
- distinct_rows.py: stores equal rows of one query or item once.
- histories.py: which items of the training part a query is seen with.
- splits.py: which interactions train, validate and test.
- training_set.py: the training set, its files, and how they are memory-mapped.
- untrained_values.py: the share of each vocabulary that no training example has.

Making batches:

- batch_builder.py: the batch of a step, from top to bottom.
- batch_queries.py: the distinct query rows of a batch, with their histories.
- sampler.py: the examples and the catalogue items of each step.
- dropout.py: drops values and features of rows.
- distinct_cells.py: finds the distinct cells of a feature.
- candidates.py: the candidates of a step, and the pairs that are no negatives.
- frequency.py: how often an item is expected among the candidates (logQ).
- batch.py: the batch itself.
"""
