"""The preprocessor and its inverse."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample

from mmlabelpenet.models.data_preprocessor import InvertibleDataPreprocessor


@pytest.mark.parametrize('rgb', [True, False])
def test_the_image_comes_back_in_rgb_and_without_padding(rgb):
    rng = np.random.default_rng(0)
    bgr = [rng.integers(0, 256, size, dtype=np.uint8) for size in ((20, 31, 3), (17, 40, 3))]
    processor = InvertibleDataPreprocessor([120.0, 110.5, 100.0], [58.4, 57.1, 1.0], bgr_to_rgb=rgb, pad_size_divisor=16)
    samples = [DetDataSample(metainfo=dict(img_shape=image.shape[:2])) for image in bgr]
    data = processor(dict(inputs=[torch.as_tensor(i.transpose(2, 0, 1).copy()) for i in bgr], data_samples=samples), False)
    assert data['inputs'].shape == (2, 3, 32, 48)
    for image, back in zip(bgr, processor.images(data['inputs'], data['data_samples']), strict=True):
        assert back.dtype == np.uint8 and back.flags.c_contiguous
        np.testing.assert_array_equal(back, image[..., ::-1])


def test_values_beyond_a_byte_are_clipped():
    processor = InvertibleDataPreprocessor([0.0] * 3, [1.0] * 3, bgr_to_rgb=True)
    inputs = torch.tensor([-5.0, 300.0, 7.4]).view(1, 3, 1, 1)
    (image,) = processor.images(inputs, [DetDataSample(metainfo=dict(img_shape=(1, 1)))])
    assert image.tolist() == [[[0, 255, 7]]]


def test_half_precision_inputs_are_inverted_in_single_precision():
    processor = InvertibleDataPreprocessor([120.0] * 3, [60.0] * 3)
    inputs = torch.full((1, 3, 2, 2), 1.5, requires_grad=True).half()
    (image,) = processor.images(inputs, [DetDataSample(metainfo=dict(img_shape=(2, 2)))])
    assert (image == 210).all()
