"""Towers, losses and augmentations: plain modules, no I/O, no distributed calls."""
