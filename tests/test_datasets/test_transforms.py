"""Packing."""

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mmlabelpenet.datasets.transforms import PackTagInputs, ProposalBroadcaster


def results(**kwargs):
    base = dict(
        img=np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3),
        img_id='a',
        img_path='a.jpg',
        ori_shape=(10, 12),
        img_shape=(5, 6),
        scale_factor=(0.5, 0.5),
        tags=[0, 2],
        num_classes=3,
        proposals=np.array([[0, 0, 4, 4], [1, 1, 1.5, 5], [2, 2, 6, 3]], np.float32),
        proposals_scores=np.array([0.9, 0.8, 0.7], np.float32),
        instances=[dict(weight=0.5)],
        gt_ignore_flags=np.zeros(1),
    )
    return base | kwargs


LABELLED = dict(
    gt_bboxes=HorizontalBoxes(torch.tensor([[1.0, 1, 3, 3]])),
    gt_bboxes_labels=np.array([2]),
    gt_masks=BitmapMasks(np.ones((1, 5, 6)), 5, 6),
)


def test_nothing_but_the_contract_passes():
    packed = PackTagInputs()(results(secret=np.ones(3), gt_seg_map=np.ones((5, 6))))
    sample = packed['data_samples']
    assert set(packed) == {'inputs', 'data_samples'}
    assert set(sample.keys()) == {'gt_image_labels', 'proposals', 'pseudo_instances'}
    assert set(sample.metainfo_keys()) == {'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'}
    assert packed['inputs'].shape == (3, 5, 6) and packed['inputs'][2, 0, 1] == 5
    assert sample.gt_image_labels.onehot.tolist() == [1, 0, 1]


def test_without_classes_there_are_no_tags():
    bare = {key: value for key, value in results().items() if key not in ('tags', 'num_classes')}
    assert PackTagInputs()(bare)['data_samples'].gt_image_labels.onehot.shape == (0,)


def test_tiny_proposals_are_dropped_with_their_scores():
    proposals = PackTagInputs()(results())['data_samples'].proposals
    assert proposals.scores.tolist() == pytest.approx([0.9, 0.7])
    assert len(PackTagInputs(min_size=0.5)(results())['data_samples'].proposals) == 3
    assert len(PackTagInputs(min_size=4)(results())['data_samples'].proposals) == 1  # the side of the largest
    assert len(PackTagInputs(min_size=9)(results())['data_samples'].proposals) == 0


def test_proposals_may_come_as_boxes_of_mmdet_and_may_be_absent():
    packed = PackTagInputs()(results(proposals=HorizontalBoxes(torch.tensor([[0.0, 0, 4, 4]])), proposals_scores=np.ones(1)))
    assert packed['data_samples'].proposals.bboxes.tolist() == [[0, 0, 4, 4]]
    packed = PackTagInputs()(results(proposals=np.zeros((0, 4)), proposals_scores=np.zeros(0)))
    assert packed['data_samples'].proposals.bboxes.shape == (0, 4)


def test_fields_have_the_types_of_the_contract_whatever_the_steps_before_gave():
    wide = dict(proposals=results()['proposals'].astype(np.float64), proposals_scores=results()['proposals_scores'].astype(np.float64))
    sample = PackTagInputs()(results(**LABELLED, **wide))['data_samples']
    assert {field.dtype for field in (*sample.proposals.values(), sample.gt_image_labels.onehot)} == {torch.float32}
    pseudo = sample.pseudo_instances
    assert [pseudo[name].dtype for name in ('bboxes', 'labels', 'weights')] == [torch.float32, torch.int64, torch.float32]
    assert pseudo.masks.masks.dtype == np.uint8


def test_steps_move_proposals_apart_from_the_labels_of_the_image():
    data = dict(results(**LABELLED), proposals=HorizontalBoxes(torch.tensor([[0.0, 0, 4, 4], [1, 1, 5, 5]])))
    labelled, proposed = ProposalBroadcaster(transforms=[])._process_input(data)
    assert labelled is data and proposed['gt_bboxes_labels'].tolist() == [0, 1] and proposed['img_id'] == 'a'
    assert {key for key in proposed if key.startswith('gt_')} == {'gt_bboxes', 'gt_bboxes_labels'}
    assert proposed['img'] is not data['img'] and torch.equal(proposed['gt_bboxes'].tensor, data['proposals'].tensor)


def test_an_image_without_classes_or_tags_packs():
    given = {key: value for key, value in results().items() if key not in ('tags', 'num_classes')}
    assert PackTagInputs()(given)['data_samples'].gt_image_labels.onehot.shape == (0,)


def test_pseudo_labels_carry_their_weights():
    pseudo = PackTagInputs()(results(**LABELLED))['data_samples'].pseudo_instances
    assert pseudo.bboxes.tolist() == [[1, 1, 3, 3]] and pseudo.labels.tolist() == [2] and pseudo.weights.tolist() == [0.5]
    assert pseudo.masks.masks.shape == (1, 5, 6)


def test_without_pseudo_labels_the_fields_exist():
    pseudo = PackTagInputs()(results())['data_samples'].pseudo_instances
    assert pseudo.bboxes.shape == (0, 4) and pseudo.masks.masks.shape == (0, 5, 6)


def test_an_image_without_pseudo_instance_packs():
    none = dict(gt_bboxes=HorizontalBoxes(torch.zeros(0, 4)), gt_bboxes_labels=np.zeros(0, np.int64), gt_masks=BitmapMasks([], 5, 6))
    assert len(PackTagInputs()(results(instances=[], **none))['data_samples'].pseudo_instances) == 0


def test_proposals_of_another_image_size_are_refused_by_name():
    PackTagInputs()(results(proposal_image_size=(10, 12)))
    with pytest.raises(ValueError, match=r"'a'.*\(12, 10\).*\(10, 12\)"):
        PackTagInputs()(results(proposal_image_size=(12, 10)))


def test_pseudo_instances_that_resizing_leaves_without_area_are_dropped():
    boxes = torch.tensor([[6.0, 1, 6, 3], [1, 1, 3, 3], [5, 5, 6, 8]])
    masks = BitmapMasks(np.arange(3)[:, None, None] * np.ones((3, 5, 6)), 5, 6)
    many = dict(gt_bboxes=HorizontalBoxes(boxes), gt_bboxes_labels=np.array([0, 2, 1]), gt_masks=masks)
    weights = [dict(weight=weight) for weight in (0.1, 0.2, 0.3)]
    pseudo = PackTagInputs()(results(**many, instances=weights))['data_samples'].pseudo_instances
    assert pseudo.bboxes.tolist() == [[1, 1, 3, 3]] and pseudo.labels.tolist() == [2]
    assert pseudo.weights.tolist() == pytest.approx([0.2]) and pseudo.masks.masks.max() == 1
