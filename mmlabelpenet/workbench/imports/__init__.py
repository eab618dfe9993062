"""Import labels of other programs."""
