"""Pseudo labels in the formats of other programs, and submissions to VOC's evaluation server."""
