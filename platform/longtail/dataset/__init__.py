"""The encoded training set on disk, its batches, and the uniform catalogue sampler."""
