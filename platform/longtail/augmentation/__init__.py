"""Augmentations of an item: the features that its two views hide, the values that they drop."""
