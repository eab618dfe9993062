"""The rendered data set, and the command that trains and tests all stages on it."""
