"""A trained model apart from training: the names of its tensors, and both towers to encode rows.

- tensor_names.py: the names of a model's tensors in its state, checkpoints and encoder bundle.
- torch_encoder.py: both towers as plain torch modules, to encode the whole catalogue.
- score_vectors.py: items' biases as one number more, so that an inner product is a score.
- numpy_towers.py: both towers in NumPy over a memory-mapped bundle, to serve single queries.
"""
