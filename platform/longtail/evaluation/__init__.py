"""Exact retrieval metrics by popularity slice, embedding health, and the release gate.

In reading order:

- `held_out`: the held-out pairs, the candidates, and the items that a query is not shown.
- `metrics`: the exact rank of every held-out item, recall@k and MAP@k.
- `slices`: the popularity slices overall, head, tail and cold.
- `results`: the types of the dictionaries that the other files return.
- `baselines`: simpler methods, tuned and measured in the same way.
- `objective`: the one figure that settings are chosen by on the validation part.
- `calibration`, `calibration_plot`: the weight of popularity in the scores, and its curve.
- `coverage`: how often each item is among the first 50 of a query.
- `vector_norms`: the lengths of item vectors before they are normalised.
- `health`: uniformity, alignment, effective rank, and correlations with popularity.
- `session_metrics`: queries that are known by their history alone.
- `linear_probes`: how well a linear map recovers a left-out feature from the vectors.
- `served_comparison`: a new version and the served one on the items that both know.
- `reference`: the fixed version that a new one is measured against beside the served one.
- `recall_plot`: recall by slice as a PNG image.
- `evaluate`: the stage that runs all of these on a version, and writes `metrics.json`.
- `gate`: approves a version for export and publication, or refuses it.
- `encoder_ranks`, `validation`: the same metrics for a model that is still in training.
"""
