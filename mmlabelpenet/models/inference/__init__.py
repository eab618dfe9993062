"""From a trained network to results: masks, test-time augmentation, class scores of the whole image."""
