"""Labels of other programs."""
