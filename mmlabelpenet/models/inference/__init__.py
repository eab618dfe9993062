"""Inference: masks, test-time augmentation, weighting by image scores."""
