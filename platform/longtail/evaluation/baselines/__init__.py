"""Rankings by methods that are simpler than the model, each measured as the model is.

`BASELINES.md` says what each method is, what is tuned, and where it comes from. In reading order:

- `known`: the training links and features that every method starts from.
- `ranks`: exact ranks of held-out items by sparse scores, ties by popularity.
- `tf_idf`: weighted sparse matrices; `longtail.memory` has more, and the weights of items.
- `method`: the interface of a method: its settings, its limits, its scores.
- `item_knn`, `query_knn`, `ease`, `ials`, `feature_cosine`: the methods.
- `untuned`: the popularity ranking and the random ranking, which have nothing to tune.
- `registry`: the methods by name.
- `measure`: tunes each on the validation part, and measures it.
- `stage`: does so once for a training set, and keeps the figures.
- `comparison`: the version beside the baselines, and the sentences about what is ahead.
"""
