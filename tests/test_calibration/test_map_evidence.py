"""Class activation maps weight the scores of proposals."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from scipy import ndimage
from torch.nn import functional as F

from mmlabelpenet.calibration.map_evidence import map_agreement, separate_parts, weigh_by_maps


def slow_agreement(box, image):
    """The best agreement of a box with a map or one of its separate parts, pixel by pixel."""
    labels, count = ndimage.label(image.numpy() > 0.5, np.ones((3, 3)))
    sizes = [(labels == part).sum() for part in range(1, count + 1)]
    kept = [part for part, size in enumerate(sizes, 1) if count > 1 and size >= max(sizes) / 10]
    return max(agreement_with_one(box, each) for each in (image, *(image * torch.from_numpy(labels == part) for part in kept)))


def agreement_with_one(box, image):
    """The share of the map's sum in a box, times the root of the IoU of the box with the region above 0.5."""
    height, width = image.shape
    x1, y1, x2, y2 = (round(side) for side in box)
    within = [(y, x) for y in range(height) for x in range(width) if y1 <= y < y2 and x1 <= x < x2]
    region = {(y, x) for y in range(height) for x in range(width) if image[y, x] > 0.5}
    share = sum(float(image[place]) for place in within) / float(image.sum())
    both = len(region & set(within))
    return share * (both / ((x2 - x1) * (y2 - y1) + len(region) - both)) ** 0.5


def test_the_agreement_equals_counting_pixels():
    torch.manual_seed(0)
    maps = F.interpolate(torch.rand(1, 3, 4, 5), (12, 17), mode='bilinear')[0]
    assert [len(separate_parts(each.numpy())) for each in maps] == [
        4,
        3,
        2,
    ]  # the map itself, then its parts; one of the third is too small
    corners = torch.stack([torch.randint(0, 8, (40, 3)), torch.randint(0, 6, (40, 3))], -1)
    bboxes = torch.cat([corners, corners + torch.stack([torch.randint(1, 9, (40, 3)), torch.randint(1, 6, (40, 3))], -1)], -1).float()
    found = map_agreement(bboxes, maps)
    assert found.shape == (40, 3)
    for r in range(40):
        for k in range(3):
            assert found[r, k].item() == pytest.approx(slow_agreement(bboxes[r, k].tolist(), maps[k]), abs=1e-6)


def test_each_of_several_objects_may_have_a_part_of_its_own():
    image = torch.zeros(1, 10, 30)
    image[0, 2:8, 2:10], image[0, 2:8, 14:22], image[0, 0, 29] = 1, 0.9, 1  # the last is too small to be an object
    bboxes = torch.tensor([[2.0, 2, 10, 8], [14, 2, 22, 8], [2, 2, 22, 8], [29, 0, 30, 1]])[:, None]
    first, second, both, speck = map_agreement(bboxes, image).flatten().tolist()
    assert first == second == pytest.approx(1) and both < 1 and speck < 0.1


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


def test_the_agreement_is_at_most_one_also_between_pixels():
    image = torch.zeros(1, 12, 12)
    image[0, 5:9, 5:9] = 1
    bboxes = torch.tensor([[5.0, 5, 9, 9], [5.49, 5.49, 8.51, 8.51], [6.4, 6.4, 6.6, 6.6]])[:, None]
    best, inner, point = map_agreement(bboxes, image).flatten().tolist()
    assert best == inner == 1 and point <= 1


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_maps_and_boxes_of_any_precision_agree(dtype):
    maps, bboxes = torch.rand(2, 8, 8).round(decimals=1), torch.tensor([[[1.0, 2, 7, 6]] * 2])
    expected = map_agreement(bboxes, maps)
    torch.testing.assert_close(map_agreement(bboxes.to(dtype), maps.to(dtype)), expected, rtol=0.02, atol=0.01)


def test_the_agreement_of_a_box_that_is_not_finite_is_not_a_number_so_that_the_labels_are_refused_later():
    assert map_agreement(torch.full((1, 1, 4), torch.nan), torch.ones(1, 4, 4)).isnan().all()
