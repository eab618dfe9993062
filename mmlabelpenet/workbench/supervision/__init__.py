"""The supervision audit: which files a training opens."""
