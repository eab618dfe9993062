"""Import proposals of other programs."""
