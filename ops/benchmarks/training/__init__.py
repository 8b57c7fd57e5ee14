"""The contenders of `train.py`: our trainer, and its references.

ours.py           steps of our trainer, and its input alone
plain_pytorch.py  the same model in plain PyTorch
floor.py          the matrix products and lookups of a step, each alone
growth.py         our trainer over a small and a large synthetic catalogue
ranks.py          our trainer on one rank and on two
work.py           the data that all of them train on
"""
