"""The two-tower model and its loss: plain modules, no I/O, no distributed calls.

In the order of the data's flow:

- two_tower.py: the tables, the model, and the loss of a batch from top to bottom.
- tower_inputs.py: the inputs of both towers, from what the tables return.
- projections.py: the learned maps from dense features to embeddings.
- towers.py: the towers, from feature embeddings to unit vectors.
- masked_views.py: the two masked views of items, and the item tower's pass over a batch.
- losses.py: the main loss (batch softmax) and the self-supervised loss (contrast of two views).
- kernels/: hand-written autograd functions, each with a plain reference.

METHOD.md has the formulas, their sources, and what each was worth when measured.
"""
