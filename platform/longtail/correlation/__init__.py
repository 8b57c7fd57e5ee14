"""Mutual information between features, and the masking plans made from it."""
