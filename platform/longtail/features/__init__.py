"""The features that the model sees: their schema, their vocabularies and their encoding.

In the order in which data flows:

- `feast/`: the one adapter around Feast. It reads the tables and writes the catalogue of a day.
- `finding`: a problem in the data, worded for its owner.
- `schema`: the features of both sides, as the Feast registry declares them.
- `history_feature`: gives the queries their history as a feature.
- `query_history`: each query's newest items, as a served version reads them.
- `dense`: checks and normalises numbers and vectors.
- `hashing`: the hash that is the same on every machine and in every release.
- `vocabulary`: counts the values of the catalogue, and gives each its row of an embedding table.
- `vocabulary_succession`: keeps the row of a value from day to day.
- `encoding`: turns tables of raw features into rows of embedding-table positions.
- `record_batches`: reads Parquet files batch by batch, for the stages after training.

FEATURES.md explains them to users.
"""
