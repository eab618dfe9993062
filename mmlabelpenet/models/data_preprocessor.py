"""Invertible normalisation: the CRF needs the image that the network received."""

from collections.abc import Sequence

import numpy as np
from mmdet.models.data_preprocessors import BatchFixedSizePad, DetDataPreprocessor
from mmdet.structures import DetDataSample
from torch import Tensor

from mmlabelpenet.registry import MODELS


@MODELS.register_module()
class InvertibleDataPreprocessor(DetDataPreprocessor):
    """mmdet's preprocessor with an inverse normalisation.

    Args:
        mean: mean per channel, in the channel order of the network.
        std: standard deviation per channel.
        bgr_to_rgb: whether the network expects RGB; images are read as BGR.
        **kwargs: as for mmdet's ``DetDataPreprocessor``; only ``batch_augments`` that pad the image are allowed.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], bgr_to_rgb: bool = False, **kwargs) -> None:
        super().__init__(mean=mean, std=std, bgr_to_rgb=bgr_to_rgb, **kwargs)
        for augment in self.batch_augments or ():
            if not (isinstance(augment, BatchFixedSizePad) and not augment.pad_mask):
                raise ValueError(
                    f'batch_augments: {type(augment).__name__} changes boxes or masks, but not the proposals and labels. Use '
                    'RandomChoiceResize in the pipeline, or BatchFixedSizePad without pad_mask.'
                )
        self.takes_rgb = bgr_to_rgb

    def forward(self, data: dict, training: bool = False) -> dict:
        """Apply mmdet's preprocessing to images and samples; other entries of the batch, such as ``trains``, are passed on unchanged."""
        rest = {key: value for key, value in data.items() if key not in ('inputs', 'data_samples')}
        return super().forward({key: value for key, value in data.items() if key not in rest}, training) | rest

    def images(self, inputs: Tensor, samples: Sequence[DetDataSample]) -> list[np.ndarray]:
        """Images of a normalised batch, float (N, 3, H, W), without padding: RGB uint8 (h, w, 3), with (h, w) = ``img_shape``."""
        pixels = inputs.detach().float() * self.std + self.mean
        pixels = pixels if self.takes_rgb else pixels.flip(1)
        pixels = pixels.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        return [np.ascontiguousarray(p[: s.img_shape[0], : s.img_shape[1]]) for p, s in zip(pixels, samples, strict=True)]
