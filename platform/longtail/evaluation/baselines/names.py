"""The names of the baselines that have nothing to tune."""

POPULARITY, RANDOM = "popularity", "random"
UNTUNED = (POPULARITY, RANDOM)
