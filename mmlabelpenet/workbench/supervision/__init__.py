"""The audit of what a result rests on: which files a training opens."""
