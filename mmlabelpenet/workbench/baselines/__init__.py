"""Baselines without a detector: boxes and masks from a linear image classifier, a lower bound for every method."""
