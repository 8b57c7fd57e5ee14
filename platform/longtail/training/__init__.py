"""Sharding, the training loop, checkpoints and the torchrun launcher."""
