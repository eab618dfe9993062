"""Pseudo instances and the hand-over."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, LabelData

from mmlabelpenet.structures import from_original, hand_over, pseudo_instances, to_original, upright_boxes


def three(weights=(0.2, 0.5, 1.0)):
    bboxes = torch.tensor([[0.0, 0, 4, 4], [2, 2, 6, 8], [1, 0, 9, 9]])
    return pseudo_instances(bboxes, torch.tensor([0, 2, 1]), np.ones((3, 10, 12)), torch.tensor(weights))


def sample():
    new = DetDataSample(metainfo=dict(img_id='a', img_shape=(10, 12), ori_shape=(20, 24), scale_factor=(0.5, 0.5)))
    new.proposals = InstanceData(bboxes=torch.rand(5, 4), scores=torch.rand(5))
    new.gt_image_labels = LabelData(onehot=torch.tensor([1.0, 0.0]))
    new.gt_instances = InstanceData(bboxes=torch.full((1, 4), float('nan')), labels=torch.tensor([1]))
    return new


def test_every_field_exists_with_its_type_and_shape():
    for pseudo, count in ((three(), 3), (pseudo_instances(torch.zeros(0), torch.zeros(0), np.zeros((0, 10, 12)), torch.zeros(0)), 0)):
        assert pseudo.bboxes.shape == (count, 4) and pseudo.bboxes.dtype == torch.float32
        assert pseudo.labels.shape == (count,) and pseudo.labels.dtype == torch.int64
        assert pseudo.masks.masks.shape == (count, 10, 12) and pseudo.masks.masks.dtype == np.uint8
        assert pseudo.weights.shape == (count,) and pseudo.weights.dtype == torch.float32


@pytest.mark.parametrize('weights', [(0.0, 0.5, 1.0), (0.1, 0.5, 1.01), (-0.1, 0.5, 1.0), (float('nan'), 0.5, 1.0)])
def test_weights_outside_zero_to_one_are_refused(weights):
    with pytest.raises(ValueError, match=r'weights in \(0, 1\]'):
        three(weights)


def test_boxes_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match='finite'):
        pseudo_instances(torch.tensor([[0, 0, float('inf'), 1]]), torch.tensor([0]), np.zeros((1, 4, 4)), torch.ones(1))


def test_fields_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r'\(2, 1, 2, 2\)'):
        pseudo_instances(torch.zeros(2, 4), torch.zeros(1), np.zeros((2, 4, 4)), torch.ones(2))


BORDER = [160, 28.5, 160, 42.1]


def test_boxes_without_width_or_height_are_refused_and_named():
    for box in (BORDER, [3, 9, 7, 9], [5, 2, 4, 8]):
        with pytest.raises(ValueError, match=r'positive width and height, got 1 without, the first \[.*have_area'):
            pseudo_instances(torch.tensor([[0, 0, 4, 4], box]), torch.zeros(2), np.zeros((2, 9, 9)), torch.ones(2))


def test_the_hand_over_refuses_boxes_without_width():
    pseudo = three()
    pseudo.bboxes[1] = torch.tensor(BORDER)
    with pytest.raises(ValueError, match=r'first \[160.0, 28.5, 160.0'):
        hand_over([sample()], [pseudo])


def test_what_rounding_leaves_of_a_thin_box_at_the_border_is_dropped_with_all_its_fields():
    nearly = np.nextafter(np.float32(12), np.float32(0))  # a width of one bit
    bboxes = torch.tensor([[nearly, 2, 12, 8], [1, 0, 9, 9], [11, 4, 14, 9]])
    pseudo = pseudo_instances(
        bboxes, torch.tensor([0, 1, 2]), np.arange(3)[:, None, None] * np.ones((3, 10, 12)), torch.tensor([0.1, 0.2, 0.3])
    )
    meta = dict(scale_factor=(12 / 37, 10 / 31), ori_shape=(31, 37), img_shape=(10, 12))
    original = to_original(pseudo, meta)
    assert original.labels.tolist() == [1, 2] and original.weights.tolist() == pytest.approx([0.2, 0.3])
    assert original.masks.masks.max(axis=(1, 2)).tolist() == [1, 2] and original.bboxes[:, 2].max() == 37
    back = from_original(original, meta)
    assert len(back) == 2 and (back.bboxes[:, 2:] > back.bboxes[:, :2]).all() and back.bboxes[1, 2].item() == pytest.approx(12)


def test_only_metainfo_and_pseudo_instances_reach_the_next_stage():
    (fresh,) = hand_over([sample()], [three()])
    assert set(fresh.keys()) == {'gt_instances'}
    assert fresh.metainfo == sample().metainfo
    torch.testing.assert_close(fresh.gt_instances.weights, three().weights)


def test_without_pseudo_instances_the_next_stage_gets_no_annotation_at_all():
    assert hand_over([sample()])[0].keys() == []
    assert set(hand_over([sample()], keep=('proposals', 'gt_image_labels'))[0].keys()) == {'proposals', 'gt_image_labels'}


def test_the_hand_over_leaves_its_arguments_as_they_were():
    samples, pseudo = [sample()], [three()]
    bboxes = pseudo[0].bboxes.clone()
    (fresh,) = hand_over(samples, pseudo, keep=('proposals',))
    fresh.gt_instances.bboxes = fresh.gt_instances.bboxes * 2
    fresh.gt_instances.labels = torch.zeros_like(fresh.gt_instances.labels)
    fresh.proposals.scores = torch.ones(5)
    fresh.set_metainfo(dict(img_id='b'))
    del fresh.gt_instances
    assert set(samples[0].keys()) == {'proposals', 'gt_image_labels', 'gt_instances'}
    assert samples[0].img_id == 'a' and not torch.equal(samples[0].proposals.scores, torch.ones(5))
    assert torch.equal(pseudo[0].bboxes, bboxes) and pseudo[0].labels.tolist() == [0, 2, 1]


def test_pseudo_instances_of_another_number_of_images_are_refused():
    with pytest.raises(ValueError, match='for 2 images, got 1'):
        hand_over([sample(), sample()], [three()])


def test_original_pixels_undo_the_scale_of_each_axis():
    pseudo = three()
    original = to_original(pseudo, dict(scale_factor=(0.5, 2.0), ori_shape=(5, 24, 3)))
    assert original.bboxes[1].tolist() == [4, 1, 12, 4]
    assert original.masks.masks.shape == (3, 5, 24)
    left = pseudo_instances(torch.tensor([[0.0, 0, 6, 10]]), torch.tensor([1]), np.arange(12) < np.full((1, 10, 1), 6), torch.ones(1))
    for flip in (dict(), dict(flip=False)):  # a pipeline without RandomFlip does not say that nothing is mirrored
        same = to_original(left, dict(scale_factor=(1.0, 1.0), ori_shape=(10, 12), **flip))
        assert same.bboxes.tolist() == left.bboxes.tolist() and (same.masks.masks == left.masks.masks).all()
    assert pseudo.bboxes[1].tolist() == [2, 2, 6, 8] and pseudo.masks.masks.shape == (3, 10, 12)
    none = pseudo_instances(torch.zeros(0, 4), torch.zeros(0), np.zeros((0, 10, 12)), torch.zeros(0))
    assert to_original(none, dict(scale_factor=(0.5, 2.0), ori_shape=(5, 24))).masks.masks.shape == (0, 5, 24)


def test_mirrored_boxes_return_and_upright_ones_stay():
    boxes, meta = torch.rand(3, 2, 4) * 9, dict(img_shape=(9, 11), flip=True, flip_direction='horizontal')
    mirrored = upright_boxes(boxes, meta)
    torch.testing.assert_close(mirrored[..., 0], 11 - boxes[..., 2])
    torch.testing.assert_close(upright_boxes(mirrored, meta), boxes)
    assert upright_boxes(boxes, dict(meta, flip=False)) is boxes
    with pytest.raises(ValueError, match="'vertical'"):
        upright_boxes(boxes, dict(meta, flip_direction='vertical'))
