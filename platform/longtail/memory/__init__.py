"""A memory beside the model: what the nearest known queries are linked with.

A two-tower model must fit what every query is linked with into its weights. A memory need not: it
looks up the known queries that are nearest to the one that asks, in the model's own space, and lets
them vote for their items. The answer is a mixture of the model's softmax and of the votes, as in
kNN language models (Khandelwal et al. 2020, arXiv 1911.00172). MEMORY.md has the formulas.

`votes` counts the votes, `mixture` mixes them with the model's scores, `nearest_queries` finds who
votes. All are plain functions of arrays, so that evaluation and serving compute the same.
"""
