"""An image of a disc with a distinct colour, for tests of refinement by colour."""

import numpy as np


def disc(h=90, w=120, noise=12):
    """A noisy red disc on noisy green, its mask, and a guess of it that is shifted and half as wide."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:h, :w]
    truth = (rows - 45) ** 2 + (columns - 60) ** 2 < 24**2
    image = np.where(truth[..., None], (200, 60, 60), (60, 150, 70)) + rng.normal(scale=noise, size=(h, w, 3))
    guess = (rows - 40) ** 2 + (columns - 55) ** 2 < 15**2
    return image.clip(0, 255).astype(np.uint8), truth, guess


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)
