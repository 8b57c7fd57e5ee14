"""The way of an approved version to served embeddings: export, index, versions, publication.

The files in the order of the flow (PUBLICATION.md explains the steps of a publication):

    export.py                  encodes every catalogue item with the approved version
    seen_items.py              the items that each query has seen, as a file of the version
    embeddings_file.py         the columns of `item_embeddings.parquet`, and its size
    arrow_columns.py           columns of Parquet files, as NumPy arrays without a copy
    embedding_matrix.py        the exported vectors as one matrix
    index.py                   builds the nearest-neighbour index, and commits the version
    index_recall.py            measures the index against exact search
    query_memory.py            the memory of a version: known queries, their items and vectors
    versions.py                commits, verifies, lists and removes versions
    version_validation.py      checks a version's rows before any slot is touched
    sorted_keys.py             finds the keys of one file that another does not have
    fill_slot.py               settles the service, chooses and fills a slot, flips the pointer
    ordered_threads.py         works on batches by several threads, results in order
    write_progress.py          when a write logs a line
    publish_query_features.py  writes the features of all queries into the online store
    publish.py                 publishes, rolls back, repairs, and says what is served
    refresh/                   what a refresh may publish: versions rolled back, days without data
    step_names.py              the names of a publication's steps
    published_pointer.py       the file `published.json`, and the lock of publications
    results.py                 the types of what all of these return
"""
