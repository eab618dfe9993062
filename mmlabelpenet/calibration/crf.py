"""Fully connected conditional random field (Krähenbühl and Koltun, NIPS 2011; paper Fig. 2c, row C12).

Shapes: L labels with the background first, (h, w) image.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class DenseCRF:
    """Mean-field inference with a colour-dependent and a smoothness kernel.

    Args:
        bilateral_xy: spatial standard deviation of the colour kernel, in pixels of the given image.
        bilateral_rgb: colour standard deviation, in levels of 0..255.
        bilateral_compat: its weight.
        gaussian_xy: spatial standard deviation of the smoothness kernel.
        gaussian_compat: its weight.
        iterations: of mean field.
        max_size: longer images are reduced to this longer side, kernels with them; None keeps the size.
        confidence: probabilities are pulled into [1 - confidence, confidence] before the logarithm.
    """

    bilateral_xy: float = 80
    bilateral_rgb: float = 13
    bilateral_compat: float = 10
    gaussian_xy: float = 3
    gaussian_compat: float = 3
    iterations: int = 10
    max_size: int | None = 500
    confidence: float = 0.99

    def __call__(self, image: np.ndarray, attention: np.ndarray) -> np.ndarray:
        """Label every pixel.

        Args:
            image: RGB uint8 (h, w, 3).
            attention: float (L, h, w) >= 0; normalised per pixel before use.

        Returns:
            int64 (h, w), the most probable label.

        Raises:
            ValueError: sizes differ.

        >>> image = np.zeros((8, 8, 3), np.uint8); image[:, 4:] = 255
        >>> guess = np.full((2, 8, 8), 0.5); guess[1, 4, 6], guess[0, 4, 1] = 0.9, 0.9
        >>> DenseCRF()(image, guess)[0].tolist()
        [0, 0, 0, 0, 1, 1, 1, 1]
        """
        from pydensecrf import densecrf

        if image.shape[:2] != attention.shape[1:]:
            raise ValueError(f'Image {image.shape[:2]} and attention {attention.shape[1:]} need one size (h, w).')
        h, w = image.shape[:2]
        ratio = min(1.0, (self.max_size or max(h, w)) / max(h, w))
        small = (max(1, round(w * ratio)), max(1, round(h * ratio)))
        image = np.ascontiguousarray(_resize(image, small))
        unary = -np.log(self._probabilities(np.stack([_resize(a, small) for a in attention])))
        field = densecrf.DenseCRF2D(*small, len(attention))
        field.setUnaryEnergy(np.ascontiguousarray(unary.reshape(len(attention), -1), dtype=np.float32))
        field.addPairwiseGaussian(sxy=self.gaussian_xy * ratio, compat=self.gaussian_compat)
        field.addPairwiseBilateral(sxy=self.bilateral_xy * ratio, srgb=self.bilateral_rgb, rgbim=image, compat=self.bilateral_compat)
        posterior = np.asarray(field.inference(self.iterations)).reshape(len(attention), small[1], small[0])
        return np.stack([_resize(p, (w, h)) for p in posterior]).argmax(0)

    def _probabilities(self, attention: np.ndarray) -> np.ndarray:
        total = attention.sum(0, keepdims=True)
        uniform = np.full_like(attention, 1 / len(attention), dtype=np.float64)
        probs = np.divide(attention, total, out=uniform, where=total > 0)
        return probs.clip(1 - self.confidence, self.confidence)


PRESETS = {
    'deeplab': DenseCRF(),  # kernels of row C12
    'small': DenseCRF(bilateral_xy=40, bilateral_compat=6, gaussian_xy=2, iterations=5, max_size=320),  # for images of about 320x240
}


def build_crf(settings: dict | str | None) -> DenseCRF | None:
    """A CRF from a config: settings, the name of a preset, or None for no CRF.

    Raises:
        KeyError: there is no such preset.

    >>> build_crf('small').iterations, build_crf(dict(iterations=3)).iterations, build_crf(None)
    (5, 3, None)
    """
    if isinstance(settings, str):
        if settings not in PRESETS:
            raise KeyError(f'There is no CRF preset {settings!r}. Choose one of {", ".join(PRESETS)}, or give the settings.')
        return PRESETS[settings]
    return None if settings is None else DenseCRF(**settings)


def _resize(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if array.shape[1::-1] == size:
        return array
    shrink = size[0] < array.shape[1]
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
