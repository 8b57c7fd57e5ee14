"""Export of the catalogue, the nearest-neighbour index, and publication."""
