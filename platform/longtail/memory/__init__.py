"""A memory beside the model: what known queries, and a query's own items, speak for.

A two-tower model must fit what every query is linked with into its weights. A memory need not: it
looks up the known queries that are nearest to the one that asks, in the model's own space, and lets
them vote for their items. The items that the query is linked with vote for others. The answer is a
mixture of the model's softmax and of the votes, as in kNN language models (Khandelwal et al. 2020,
arXiv 1911.00172). MEMORY.md has the formulas.

`voters` says who votes. `votes` counts those of known queries, which `nearest_queries` finds;
`item_votes` counts those of a query's own items, by `item_weights`. `mixture` mixes all with the
model's scores. All are plain functions of arrays, so that evaluation and serving compute the same.
"""
