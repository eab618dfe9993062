"""Results that need no detector: boxes and masks from a linear classifier of whole images, the floor for every method."""
