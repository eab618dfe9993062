import numpy as np
import pytest

from mmlabelpenet.workbench.exports.labels import choose_labels, divide, has_mask


def flat(labels):
    return [a for image in labels.images for a in labels.annotations[image['id']]]


def test_light_instances_and_those_beyond_the_heaviest_are_left_out(store):
    everything = store.content['annotations']
    limit = float(np.median([a['weight'] for a in everything]))
    heavy = choose_labels(store, min_weight=limit)
    assert {a['id'] for a in flat(heavy)} == {a['id'] for a in everything if a['weight'] >= limit}
    single = choose_labels(store, top_k=1)
    for image in single.images:
        most = max(a['weight'] for a in everything if a['image_id'] == image['id'])
        assert [a['weight'] for a in single.annotations[image['id']]] == [most]
    assert single.left_out['beyond the heaviest'] == len(everything) - len(single.images)


def test_images_without_labels_are_left_out_unless_they_are_wanted(store):
    assert len(choose_labels(store, min_weight=0.8).images) < len(choose_labels(store, min_weight=0.8, keep_empty=True).images) == 16
    with pytest.raises(ValueError, match='No label is left of 28 .28 too light'):
        choose_labels(store, min_weight=1.1)


def test_instances_without_mask_can_be_left_out(store):
    assert all(map(has_mask, flat(choose_labels(store, need_mask=True))))
    assert sum(not has_mask(a) for a in flat(choose_labels(store))) == 4


def test_the_parts_of_a_division_hold_every_image_once(labels):
    parts = divide(labels, 0.4, 0)
    assert parts['train'] and parts['val']
    assert sorted(image['id'] for part in parts.values() for image in part) == [image['id'] for image in labels.images]
