"""Formats of files, which know nothing of the method: images and their names, tags, masks as run-length codes, arrays."""
