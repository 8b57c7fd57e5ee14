"""Exact retrieval metrics, popularity slices and the release gate."""
