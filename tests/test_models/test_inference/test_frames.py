"""Boxes and masks stay in the frame of the network input until the end, whatever the size of the image file."""

import copy

import numpy as np
import pytest
import torch
import toy

from mmlabelpenet.calibration.backward import DetectionLabels
from mmlabelpenet.models.inference.masks import MaskRefinement


def of_a_file_of_another_size(sample, scale):
    sample, (h, w) = copy.deepcopy(sample), sample.img_shape[:2]
    sample.gt_image_labels.onehot = torch.ones(4)
    sample.set_metainfo(dict(scale_factor=(scale, scale), ori_shape=(round(h / scale), round(w / scale))))
    return sample


@pytest.mark.parametrize('views', [1, 2])
@pytest.mark.parametrize('name', toy.STAGES)
def test_candidates_detections_masks_and_labels_do_not_depend_on_the_size_of_the_image_file(toy_net, toy_batch, name, views):
    (inputs, samples), stage, found = toy_batch, toy_net.stages[name], []
    if stage.detector.with_mask:
        torch.nn.init.normal_(stage.detector.roi_head.mask_head.conv_logits.weight, std=0.5)
    (image,) = toy_net.data_preprocessor.images(inputs[:1], samples[:1])
    for scale in (1.0, 2.0):
        readings = stage.read(views * toy_net.views(inputs[:1], [of_a_file_of_another_size(samples[0], scale)]))
        result = stage.predict(readings, image, MaskRefinement(max_masks=3))
        labels = stage.explain(readings[0], DetectionLabels(min_score=0.0))
        found.append([*readings[0].candidates.values(), result.bboxes, result.scores, result.masks, *labels.values()])
    assert len(result) and result.masks.any() and len(labels['bboxes'])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
