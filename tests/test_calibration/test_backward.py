"""Detections as labels for the previous stage."""

import numpy as np
import torch
import toy
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmlabelpenet.calibration.backward import DetectionLabels


class Itself:
    """Stands for a part of a detector that is the detector."""

    def __init__(self, detector):
        self.detector = detector

    def __getattr__(self, name):
        return getattr(self.detector, name)


class Detector(torch.nn.Module):
    """Detects what it is told to; is its own RPN, RoI head and box head."""

    with_rpn, num_classes, test_cfg = True, 4, ConfigDict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10)

    def __init__(self, bboxes, scores, masks=None):
        super().__init__()
        self.bboxes, self.scores, self.masks, self.with_mask = bboxes, scores, masks, masks is not None
        self.roi_head = self.rpn_head = self.bbox_head = Itself(self)

    def extract_feat(self, feature):
        return (feature,)

    def predict(self, x, samples, rescale):
        assert not rescale and not self.training and all(sample.keys() == [] for sample in samples)
        return [InstanceData(bboxes=self.bboxes) for _ in samples]

    def predict_bbox(self, x, metas, proposals, rcnn_test_cfg, rescale):
        return [InstanceData(bboxes=self.bboxes, scores=self.scores) for _ in metas]

    def predict_mask(self, x, metas, results, rescale):
        """The mask of a detection is found by the left side of its box, a twentieth of it."""
        for result in results:
            result.masks = self.masks[(result.bboxes[:, 0] / 20).long()]
        return results


def detected(scores, labels, **fields):
    left = 20.0 * torch.arange(len(scores))[:, None]
    each = torch.zeros(len(scores), 5)
    each[range(len(scores)), labels] = torch.tensor(scores)
    return Detector(torch.cat([left, left * 0, left + 9, left * 0 + 9], 1), each, **fields)


def test_detections_in_the_tags_become_labels_the_best_of_a_tag_always(scene):
    sample = scene[2][0]
    sample.gt_image_labels.onehot = torch.tensor([1.0, 1.0, 0.0, 1.0])
    stage = detected([0.1, 0.9, 0.2, 0.31, 0.29, 0.3], [0, 2, 0, 1, 1, 1])  # nothing of class 3
    (pseudo,) = toy.labels_of(stage, DetectionLabels(), scene[1], [sample], scene[3][:1])
    assert pseudo.labels.tolist() == [1, 1, 0]
    assert pseudo.bboxes[:, 0].tolist() == [60, 100, 40]
    assert pseudo.weights.tolist() == [1, 1, 1]
    assert not pseudo.masks.masks.any()
    (strict,) = toy.labels_of(stage, DetectionLabels(min_score=0.305), scene[1], [sample], scene[3][:1])
    assert strict.bboxes[:, 0].tolist() == [60, 40]


def test_masks_of_detections_go_along(scene):
    masks = torch.zeros(1, 98, 128, dtype=torch.uint8)
    masks[0, 10:20, 10:20], masks[0, 30:40, 30:40] = 128, 127
    scene[2][0].gt_image_labels.onehot = torch.ones(4)
    (pseudo,) = toy.labels_of(detected([0.5], [0], masks=masks), DetectionLabels(), scene[1], scene[2][:1], scene[3][:1])
    assert pseudo.masks.masks.shape == (1, 96, 128)
    assert pseudo.masks.masks.sum() == 100 and pseudo.masks.masks[0, 15, 15] == 1


def test_a_pixel_that_is_as_much_background_as_object_is_background():
    soft = np.array([[[0.5, 0.502]]], np.float32)
    found = DetectionLabels().label(np.zeros((1, 2, 3), np.uint8), dict(bboxes=np.array([[0, 0, 2, 1]]), labels=np.array([3]), masks=soft))
    assert found.masks.masks.tolist() == [[[0, 1]]] and found.labels.tolist() == [3]


def test_only_detections_that_become_labels_get_a_mask(scene):
    scene[2][0].gt_image_labels.onehot = torch.tensor([1.0, 0, 0, 0])
    masks = torch.zeros(3, 98, 128, dtype=torch.uint8)
    masks[1, :5, :5] = 255
    stage, asked = detected([0.9, 0.5, 0.2], [1, 0, 0], masks=masks), []
    predict = stage.predict_mask
    stage.predict_mask = lambda x, metas, results, rescale: asked.extend(map(len, results)) or predict(x, metas, results, rescale)
    (pseudo,) = toy.labels_of(stage, DetectionLabels(), scene[1], scene[2][:1], scene[3][:1])
    assert asked == [1] and pseudo.masks.masks.sum() == 25


def test_a_detection_without_area_becomes_no_label_and_the_next_best_does(scene):
    sample = scene[2][0]
    sample.gt_image_labels.onehot = torch.tensor([1.0, 1.0, 0.0, 0.0])
    stage = detected([0.9, 0.8, 0.2, 0.7], [0, 0, 0, 1])
    border = float(sample.img_shape[1])
    stage.bboxes = torch.tensor([[border, 28.5, border, 42.1], [border + 3, 5, border + 9, 9], [100.0, 5, border + 9, 9], [4, -8, 9, -2]])
    (pseudo,) = toy.labels_of(stage, DetectionLabels(), scene[1], [sample], scene[3][:1])
    assert (pseudo.labels.tolist(), pseudo.bboxes.tolist()) == ([0], [[100, 5, border, 9]])


def test_without_detections_there_are_no_labels(scene):
    (pseudo,) = toy.labels_of(detected([], []), DetectionLabels(), scene[1], scene[2][:1], scene[3][:1])
    assert len(pseudo) == 0
