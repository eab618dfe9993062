import dataclasses

import numpy as np
import pytest

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.workbench.exports.formats import write_export
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
    assert single.left_out['beyond the top_k'] == len(everything) - len(single.images)


def test_images_without_labels_are_left_out_unless_they_are_wanted(store):
    assert len(choose_labels(store, min_weight=0.8).images) < len(choose_labels(store, min_weight=0.8, keep_empty=True).images) == 16
    with pytest.raises(ValueError, match='None of 28 labels is left .28 with a lower weight'):
        choose_labels(store, min_weight=1.1)
    with pytest.raises(ValueError, match='^The label store contains no labels. Label images'):
        choose_labels(PseudoLabelStore(store.content | dict(annotations=[])), keep_empty=True)


def test_instances_without_mask_can_be_left_out(store):
    assert all(map(has_mask, flat(choose_labels(store, need_mask=True))))
    assert sum(not has_mask(a) for a in flat(choose_labels(store))) == 4


def test_the_parts_of_a_division_hold_every_image_once(labels):
    parts = divide(labels, 0.4, 0)
    assert parts['train'] and parts['val']
    assert sorted(image['id'] for part in parts.values() for image in part) == [image['id'] for image in labels.images]


def test_a_share_below_one_image_leaves_all_for_training_and_writes_no_folder_of_nothing(labels, images, tmp_path):
    assert divide(labels, 0.001, 0) == divide(labels, 0.0, 0) == dict(train=labels.images)
    for kind in ('coco', 'yolo', 'voc'):
        write_export(kind, labels, tmp_path / kind, images, val_share=0.001)
        assert not [path for path in (tmp_path / kind).rglob('*') if 'val' in path.name]
        assert all(path.stat().st_size for path in (tmp_path / kind).rglob('*.json'))


def test_a_share_that_leaves_nothing_for_training_is_refused(labels):
    one = dataclasses.replace(labels, images=labels.images[:1])
    with pytest.raises(ValueError, match='share of 0.9 leaves none of 1 image for training'):
        divide(one, 0.9, 0)
