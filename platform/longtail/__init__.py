"""longtail: item embeddings for large catalogues, right on the long tail."""

__version__ = "0.1.0"
