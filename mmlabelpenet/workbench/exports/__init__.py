"""Export pseudo labels in the formats of other programs, and submissions to the VOC evaluation server."""
