"""Fully connected conditional random field (Krähenbühl and Koltun, NIPS 2011; paper Fig. 2c, choice C12).

Two backends give the same masks: pydensecrf, compiled code for one CPU core, and PyTorch operations for any device.

Shapes: L labels with the background first, (h, w) image, (h', w') image size inside the CRF.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

import cv2
import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from mmlabelpenet.ops.mean_field import mean_field, positions, positions_and_colours
from mmlabelpenet.ops.sparse import resize
from mmlabelpenet.schema import check_range

BACKENDS = ('auto', 'pydensecrf', 'torch')


@dataclass(frozen=True)
class DenseCRF:
    """Mean-field inference with a colour-dependent and a smoothness kernel.

    Args:
        bilateral_xy, bilateral_rgb: standard deviations of the colour kernel, in pixels of the given image and levels of 0..255.
        gaussian_xy: standard deviation of the smoothness kernel.
        bilateral_compat, gaussian_compat: weights of the two kernels.
        iterations: number of mean-field iterations.
        max_size: larger images and the kernels are downscaled to this longer side; None keeps the size.
        confidence: probabilities are clipped to [1 - confidence, confidence] before the logarithm.
        backend: ``'pydensecrf'``, ``'torch'``, or ``'auto'``: pydensecrf on the CPU if it is installed, otherwise PyTorch. The backend used
            on the CPU is the attribute ``cpu_backend``, which label stores record with the other settings.

    Raises:
        ValueError: unknown backend.
        ImportError: pydensecrf is requested but not installed.
    """

    bilateral_xy: float = 80
    bilateral_rgb: float = 13
    bilateral_compat: float = 10
    gaussian_xy: float = 3
    gaussian_compat: float = 3
    iterations: int = 10
    max_size: int | None = 500
    confidence: float = 0.99
    backend: str = 'auto'
    cpu_backend: str = field(init=False)

    def __post_init__(self) -> None:
        """Check the settings and choose the backend."""
        check_range(1e-3, bilateral_xy=self.bilateral_xy, bilateral_rgb=self.bilateral_rgb, gaussian_xy=self.gaussian_xy)
        check_range(0, bilateral_compat=self.bilateral_compat, gaussian_compat=self.gaussian_compat, iterations=self.iterations)
        check_range(1, max_size=self.max_size)
        check_range(0.5, 1 - 1e-6, confidence=self.confidence)
        if self.backend not in BACKENDS:
            raise ValueError(f'The backend of a CRF must be one of {BACKENDS}, got {self.backend!r}.')
        object.__setattr__(self, 'cpu_backend', _cpu_backend() if self.backend == 'auto' else self.backend)
        if self.backend == 'pydensecrf':
            _import_pydensecrf()

    def __call__(self, image: np.ndarray, attention: np.ndarray) -> np.ndarray:
        """Compute the most probable label of every pixel, int64 (h, w), on the CPU.

        Args:
            image: RGB uint8 (h, w, 3).
            attention: float (L, h, w) >= 0; normalised per pixel. Pixels whose attention is 0 or NaN get equal probabilities. Different
                sizes, and images without pixels or labels, raise a ValueError.

        >>> image = np.zeros((8, 8, 3), np.uint8); image[:, 4:] = 255
        >>> guess = np.full((2, 8, 8), 0.5); guess[1, 4, 6], guess[0, 4, 1] = 0.9, 0.9
        >>> DenseCRF()(image, guess)[0].tolist()
        [0, 0, 0, 0, 1, 1, 1, 1]
        """
        return self.batch(*([torch.from_numpy(np.array(values))] for values in (image, attention)))[0].numpy()

    @torch.no_grad()
    def batch(self, images: Sequence[Tensor], attention: Sequence[Tensor]) -> list[Tensor]:
        """Label every pixel of several images, like :meth:`__call__`, on the device of their attention.

        Images are processed independently and may differ in size and number of labels. ``backend='pydensecrf'`` needs attention on the CPU.

        >>> image = torch.zeros(1, 4, 3, dtype=torch.uint8)
        >>> [labels.tolist() for labels in DenseCRF().batch([image, image], [torch.eye(2)[:, [0, 1, 1, 1]][:, None], torch.ones(1, 1, 4)])]
        [[[1, 1, 1, 1]], [[0, 0, 0, 0]]]
        """
        on_cpu = all(maps.device.type == 'cpu' for maps in attention)
        if self.backend == 'pydensecrf' and not on_cpu:
            raise ValueError(f"pydensecrf runs on the CPU, got attention on {attention[0].device}. Use backend='auto' or 'torch'.")
        if self.cpu_backend == 'pydensecrf' and on_cpu:
            return [torch.from_numpy(self._by_pydensecrf(*map(Tensor.numpy, pair))) for pair in zip(images, attention, strict=True)]
        labels: dict[int, Tensor] = {}
        for count in {len(maps) for maps in attention}:
            chosen = [i for i, maps in enumerate(attention) if len(maps) == count]
            labels |= zip(chosen, self._by_torch([images[i] for i in chosen], [attention[i] for i in chosen]), strict=True)
        return [labels[i] for i in range(len(labels))]

    def _by_pydensecrf(self, image: np.ndarray, attention: np.ndarray) -> np.ndarray:
        (h, w), small, ratio = self._field_size(image.shape, attention.shape)
        if attention.dtype == np.float16:
            attention = attention.astype(np.float32)  # OpenCV cannot resize it
        image = np.ascontiguousarray(_resize(image, small[::-1]))
        small_maps = np.stack([_resize(each, small[::-1]) for each in attention])
        total, uniform = small_maps.sum(0), np.full_like(small_maps, 1 / len(attention), dtype=np.float64)
        probs = np.divide(small_maps, total, out=uniform, where=total > 0)
        unary = -np.log(probs.clip(1 - self.confidence, self.confidence))
        densecrf = _import_pydensecrf()
        crf = densecrf.DenseCRF2D(small[1], small[0], len(attention))
        crf.setUnaryEnergy(np.ascontiguousarray(unary.reshape(len(attention), -1), dtype=np.float32))
        crf.addPairwiseGaussian(sxy=self.gaussian_xy * ratio, compat=self.gaussian_compat)
        crf.addPairwiseBilateral(sxy=self.bilateral_xy * ratio, srgb=self.bilateral_rgb, rgbim=image, compat=self.bilateral_compat)
        posterior = np.asarray(crf.inference(self.iterations)).reshape(len(attention), *small)
        return np.stack([_resize(p, (w, h)) for p in posterior]).argmax(0)

    def _by_torch(self, images: Sequence[Tensor], attention: Sequence[Tensor]) -> list[Tensor]:
        """Like :meth:`batch`, for images with the same number of labels."""
        unary, smoothness, colour, sizes = [], [], [], []
        for image, maps in zip(images, attention, strict=True):
            size, small, ratio = self._field_size(image.shape, maps.shape)
            image = resize(image.to(maps.device).float(), small).round()  # integer levels, as in an image
            maps = resize(maps.float().permute(1, 2, 0), small).flatten(0, 1)
            total = maps.sum(1, keepdim=True)
            probs = torch.where(total > 0, maps / total, 1 / maps.shape[1])
            unary.append(-probs.clamp(1 - self.confidence, self.confidence).log())
            smoothness.append(positions(image, self.gaussian_xy * ratio))
            colour.append(positions_and_colours(image, self.bilateral_xy * ratio, self.bilateral_rgb))
            sizes.append((size, small))
        kernels = [(torch.cat(smoothness, 1), self.gaussian_compat), (torch.cat(colour, 1), self.bilateral_compat)]
        counts = [len(energies) for energies in unary]
        image_of = torch.arange(len(images)).repeat_interleave(torch.tensor(counts)).to(unary[0].device)
        posterior = mean_field(torch.cat(unary), kernels, self.iterations, image_of).split(counts)
        return [resize(p.view(*small, -1), size).argmax(2) for p, (size, small) in zip(posterior, sizes, strict=True)]

    def _field_size(self, image: Sequence[int], attention: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int], float]:
        """Sizes (h, w) and (h', w') and the downscaling factor, from shapes."""
        if tuple(image[:2]) != tuple(attention[1:]):
            raise ValueError(f'Image {tuple(image[:2])} and attention {tuple(attention[1:])} must have the same size (h, w).')
        if 0 in attention:
            raise ValueError(f'A CRF needs at least one label and one pixel, got attention of shape {tuple(attention)}.')
        h, w = image[:2]
        ratio = min(1.0, (self.max_size or max(h, w)) / max(h, w))
        return (h, w), (max(1, round(h * ratio)), max(1, round(w * ratio))), ratio


PRESETS: dict[str, dict] = {
    'deeplab': {},  # the defaults: kernels of choice C12
    'small': dict(bilateral_xy=40, bilateral_compat=6, gaussian_xy=2, iterations=5, max_size=320),  # for images of about 320x240
}


def build_crf(settings: dict | str | None) -> DenseCRF | None:
    """Build a CRF from a config: the name of a preset, a dict of settings, optionally based on a ``preset``, or None.

    Unknown presets raise a ValueError.

    >>> build_crf('small').iterations, build_crf(dict(iterations=3)).iterations, build_crf(None)
    (5, 3, None)
    >>> build_crf(dict(preset='small', backend='torch')).bilateral_xy
    40
    """
    if settings is None:
        return None
    changes = dict(preset=settings) if isinstance(settings, str) else dict(settings)
    preset = changes.pop('preset', 'deeplab')
    if preset not in PRESETS:
        raise ValueError(f'There is no CRF preset {preset!r}. Choose one of {", ".join(PRESETS)}, or pass the settings.')
    return DenseCRF(**(PRESETS[preset] | changes))


def _import_pydensecrf() -> ModuleType:
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise ImportError(
            f"The CRF's backend 'pydensecrf' is not installed ({error}): pip install 'mmlabelpenet[crf]', or use 'auto' or 'torch'."
        ) from error
    return densecrf


def _cpu_backend() -> str:
    try:
        _import_pydensecrf()
    except ImportError:
        _say_once()
        return 'torch'
    return 'pydensecrf'


@functools.cache
def _say_once() -> None:
    print_log('pydensecrf is not installed: the dense CRF runs in PyTorch operations, which give the same masks.', 'current')


def _resize(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if array.shape[1::-1] == size:
        return array
    shrink = size[0] < array.shape[1]
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
