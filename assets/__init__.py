"""The Dagster code location: thin assets that call `longtail`.

Nothing here imports torch, torchrec, feast or pandas when it is loaded: every run loads it again.
"""
