"""Class activation maps weight the scores of proposals."""

import pytest
import torch
from mmengine.structures import InstanceData

from mmlabelpenet.calibration.map_evidence import map_agreement, weigh_by_maps


def slow_agreement(box, image):
    """The share of the map's sum in a box times the IoU of the box with the region above 0.5, pixel by pixel."""
    height, width = image.shape
    x1, y1, x2, y2 = (round(side) for side in box)
    within = [(y, x) for y in range(height) for x in range(width) if y1 <= y < y2 and x1 <= x < x2]
    region = {(y, x) for y in range(height) for x in range(width) if image[y, x] > 0.5}
    share = sum(float(image[place]) for place in within) / float(image.sum())
    both = len(region & set(within))
    return share * both / ((x2 - x1) * (y2 - y1) + len(region) - both)


def test_the_agreement_equals_counting_pixels():
    torch.manual_seed(0)
    maps = torch.rand(3, 12, 17)
    corners = torch.stack([torch.randint(0, 8, (40, 3)), torch.randint(0, 6, (40, 3))], -1)
    bboxes = torch.cat([corners, corners + torch.stack([torch.randint(1, 9, (40, 3)), torch.randint(1, 6, (40, 3))], -1)], -1).float()
    found = map_agreement(bboxes, maps)
    assert found.shape == (40, 3)
    for r in range(40):
        for k in range(3):
            assert found[r, k].item() == pytest.approx(slow_agreement(bboxes[r, k].tolist(), maps[k]), abs=1e-6)


def test_scores_are_of_some_object_and_of_the_class_weighted_by_the_agreement_relative_to_the_best():
    torch.manual_seed(1)
    maps, labels = torch.rand(2, 10, 10), [3, 0]
    bboxes = torch.tensor([[0.0, 0, 5, 5], [2, 2, 9, 9], [0, 0, 10, 10], [4, 1, 6, 3]])[:, None].expand(-1, 4, -1)
    scores = torch.rand(4, 4) / 4
    candidates = InstanceData(rois=bboxes[:, 0], bboxes=bboxes, scores=scores.clone())
    weighed = weigh_by_maps(candidates, labels, maps)
    for place, label in enumerate(labels):
        agreement = map_agreement(bboxes[:, [label]], maps[[place]])[:, 0]
        expected = (scores[:, label] * scores.sum(1)).sqrt() * agreement / agreement.max()
        torch.testing.assert_close(weighed.scores[:, label].double(), expected.double(), rtol=1e-5, atol=1e-7)
    assert weighed.scores[:, [1, 2]].eq(0).all()
    assert torch.equal(weighed.bboxes, bboxes) and torch.equal(candidates.scores, scores)


@pytest.mark.parametrize(('proposals', 'labels'), [(0, [1]), (3, [])])
def test_without_proposals_or_classes_nothing_is_found(proposals, labels):
    candidates = InstanceData(bboxes=torch.zeros(proposals, 2, 4), scores=torch.ones(proposals, 2))
    weighed = weigh_by_maps(candidates, labels, torch.ones(len(labels), 4, 4))
    assert weighed.scores.shape == (proposals, 2) and weighed.scores.eq(0).all()


def test_a_map_without_peak_and_boxes_outside_of_it_score_zero_and_stay_finite():
    candidates = InstanceData(bboxes=torch.tensor([[[0.0, 0, 2, 2]], [[3.0, 3, 3, 3]]]), scores=torch.ones(2, 1))
    for image in (torch.zeros(1, 4, 4), torch.eye(4)[None].flip(1)):
        scores = weigh_by_maps(candidates, [0], image).scores
        assert torch.isfinite(scores).all() and scores[1] == 0
