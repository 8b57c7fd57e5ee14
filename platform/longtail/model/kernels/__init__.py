"""Hand-written autograd functions, each beside a plain reference with the same inputs and output.

- split_by_feature.py: cuts the pooled embeddings into one tensor a feature.
- repeated_cells.py: gives rows that share cells the values of their cells, or the sums of them.
- softmax_loss.py: the softmax cross entropy of both losses, over parts of the logits.

`tests/model/test_kernels.py` holds each kernel against its reference. Import from the files: the
fingerprint of a stage covers all that it imports, and a stage that encodes needs no loss.
"""
