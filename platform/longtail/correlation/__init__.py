"""Correlations between the item features of a catalogue, measured by mutual information."""
