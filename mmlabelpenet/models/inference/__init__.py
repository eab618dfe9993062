"""From a trained network to results: masks, test-time augmentation, evidence of the whole image."""
