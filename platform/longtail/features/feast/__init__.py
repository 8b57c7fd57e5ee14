"""The one adapter around Feast: nothing outside this folder and `feature_repo/` imports `feast`.

Offline, from the definitions to a day's catalogue:

- `definitions`: opens the project's Feast store, and loads the objects that the repository defines.
- `store_settings`: kind and address of each store for messages, without passwords.
- `store_errors`: the failures of all stores, of any kind, as one error.
- `registry_schema`: derives the model's schema from the two FeatureServices.
- `table_validation`: the types that columns must have, and the findings about wrong tables.
- `sources`: reads a data source whole, checks its columns, and normalises their types.
- `refused_rows`: splits rows into those that are used and those that are refused.
- `history`: rows up to a day, and the first and last row of each key.
- `repository`: the repository as a whole: its tables, histories and point-in-time features.
- `history_view`: the feature view of the queries' histories, which the platform defines.
- `catalogue`: writes the catalogue of a day, which all later stages read.

Online, after training:

- `online_connection`: the open store, which is opened again after its connection was lost.
- `embedding_slots`: all slots of embeddings, and the FeatureService that names the one to serve.
- `write_online_slot`: empties, writes, reads back and compares one slot.
- `row_format`: the bytes that Feast stores for a row of embeddings.
- `slot_storage`: clears, writes and reads these bytes, in each kind of online store.
- `online_query_features`: the online features of queries.
- `server`: Feast's feature server over the project's stores.
"""
