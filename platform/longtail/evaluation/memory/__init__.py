"""The memory of a version in its evaluation: `choice` tries settings, `metrics` measures them."""
