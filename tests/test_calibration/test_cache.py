"""Reused labels are in the frame of the current augmented image."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample

from mmlabelpenet.calibration.cache import LabelCache
from mmlabelpenet.structures import from_original, pseudo_instances, to_original


def sample(scale=1.0, flip=False, img_id='a', size=(20, 30)):
    shape = (int(size[0] * scale), int(size[1] * scale))
    return DetDataSample(
        metainfo=dict(
            img_id=img_id,
            ori_shape=size,
            img_shape=shape,
            scale_factor=(scale, scale),
            flip=flip,
            flip_direction='horizontal' if flip else None,
        )
    )


def labels(size=(20, 30)):
    masks = np.zeros((1, *size), bool)
    masks[0, 4:10, 2:12] = True
    return pseudo_instances(torch.tensor([[2.0, 4.0, 12.0, 10.0]]), torch.tensor([1]), masks, torch.tensor([0.5]))


def visit(cache, stage, each, made):
    """Labels of an image as training gets them; what had to be made is noted."""
    found = cache.recall(stage, each)
    if found is None:
        made.append(stage)
        found = labels(each.img_shape)
    cache.keep(stage, each, found)
    return found


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('scale', [1.0, 2.0])
def test_to_original_undoes_from_original(flip, scale):
    meta = sample(scale, flip).metainfo
    back = to_original(from_original(labels(), meta), meta)
    torch.testing.assert_close(back.bboxes, labels().bboxes)
    assert (back.masks.masks == labels().masks.masks).all()


def test_a_flipped_visit_gets_mirrored_labels():
    found = from_original(labels(), sample(2.0, flip=True).metainfo)
    assert found.bboxes.tolist() == [[36.0, 8.0, 56.0, 20.0]]
    rows, columns = np.nonzero(found.masks.masks[0])
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (36, 8, 56, 20)


@pytest.mark.parametrize(('interval', 'expected'), [(1, 6), (2, 3), (3, 2)])
def test_labels_serve_as_many_visits_as_the_interval_says(interval, expected):
    cache, made = LabelCache(interval), []

    for _ in range(6):
        assert len(visit(cache, 'detection', sample(), made)) == 1
    assert len(made) == expected


def test_stages_and_images_do_not_share_labels():
    cache, made = LabelCache(5), []

    for stage, image in (('detection', 'a'), ('refinement', 'a'), ('detection', 'b'), ('detection', 'a')):
        visit(cache, stage, sample(img_id=image), made)
    assert len(made) == 3


def test_a_reused_label_is_that_of_the_first_visit_in_the_frame_of_the_second():
    cache = LabelCache(2)
    visit(cache, 'detection', sample(), [])
    again = cache.recall('detection', sample(2.0))
    assert again.bboxes.tolist() == [[4.0, 8.0, 24.0, 20.0]]


def test_a_cache_goes_on_from_its_state(tmp_path):
    cache, other = LabelCache(3), LabelCache(3)
    visit(cache, 'detection', sample(), [])
    torch.save(cache.state_dict(), tmp_path / 'state.pth')
    other.load_state_dict(torch.load(tmp_path / 'state.pth', weights_only=True))
    for _ in range(2):
        first, second = (visit(each, 'detection', sample(2.0, flip=True), []) for each in (cache, other))
        assert torch.equal(first.bboxes, second.bboxes) and torch.equal(first.labels, second.labels)
        assert (first.masks.masks == second.masks.masks).all() and torch.equal(first.weights, second.weights)
    made = []
    for each in (cache, other):
        visit(each, 'detection', sample(), made)
    assert len(made) == 2


def test_an_interval_below_one_is_refused():
    with pytest.raises(ValueError, match='at least 1, got 0'):
        LabelCache(0)


def test_masks_come_back_whose_pixels_do_not_fill_whole_bytes():
    first, second, size = LabelCache(3), LabelCache(3), (21, 31)
    first.keep('detection', sample(size=size), labels(size))
    second.load_state_dict(first.state_dict())
    found = second.recall('detection', sample(size=size))
    assert np.array_equal(found.masks.masks, labels(size).masks.masks) and torch.equal(found.bboxes, labels(size).bboxes)
