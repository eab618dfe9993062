"""The rendered data set and the command that trains and tests the whole method on it."""
