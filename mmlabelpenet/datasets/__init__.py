"""Images with tags, proposals, pseudo labels; ground truth for metrics; the rendered data set.

Nothing is imported here: the converters need no PyTorch.
"""
