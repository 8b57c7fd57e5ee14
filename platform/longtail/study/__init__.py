"""Studies: grids of variants x data fractions x seeds, tuned on validation, reported on test."""
