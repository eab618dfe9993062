import numpy as np
import pytest
import toy
from pycocotools import mask as coco_mask

from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES
from mmlabelpenet.workbench.report.comparison import compare, confusions, disagreement


@pytest.fixture(scope='module')
def devkit(toy_root):
    return VOCDevkit(toy_root, RENDERED_CLASSES)


def instance(box, label, mask=None):
    mask = np.zeros((toy.HEIGHT, toy.WIDTH), bool) if mask is None else mask
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(bbox=list(map(float, box)), bbox_label=int(label), weight=0.5, mask=dict(code, counts=code['counts'].decode()))


def true_instances(devkit, name):
    objects, truth = devkit.objects(name), devkit.instance_masks(name)
    masks = {int(label): mask for label, mask in zip(truth.labels, truth.masks)}
    return [instance(box, label, masks[int(label)]) for box, label in zip(objects.bboxes, objects.labels)]


def test_the_truth_agrees_with_itself(devkit):
    for name in devkit.image_ids('train'):
        found = compare(true_instances(devkit, name), devkit, name)
        assert (found.box_iou == 1).all() and found.missed == [] and found.score == 1
        assert np.nanmax(found.mask_iou) == 1
        assert found.lies_on.tolist() == devkit.objects(name).labels.tolist()


def test_nothing_finds_nothing(devkit):
    name = devkit.image_ids('train')[0]
    found = compare([], devkit, name)
    assert found.missed == devkit.objects(name).labels.tolist() and found.score == 0


def test_a_wrong_class_on_an_object_is_a_confusion_and_a_miss(devkit):
    name = devkit.image_ids('train')[0]
    right = true_instances(devkit, name)[0]
    wrong = dict(right, bbox_label=(right['bbox_label'] + 1) % 4)
    found = compare([wrong], devkit, name)
    table = confusions([([wrong['bbox_label']], found)], 4)
    assert table[wrong['bbox_label'], right['bbox_label']] == 1
    assert table[-1, right['bbox_label']] >= 1
    assert table.sum() == 1 + len(found.missed)


def test_a_box_beside_all_objects_lies_on_none(devkit):
    found = compare([instance((0, 0, 2, 2), 0)], devkit, devkit.image_ids('train')[0])
    assert found.lies_on.tolist() == [-1] and np.isnan(found.mask_iou[0])


def test_stages_agree_with_themselves_and_differ_from_others(devkit):
    some = true_instances(devkit, devkit.image_ids('train')[0])
    assert disagreement(some, some) == 0 == disagreement([], [])
    assert disagreement(some, []) == 1
    other = [dict(item, bbox_label=(item['bbox_label'] + 1) % 4) for item in some]
    assert disagreement(some, other) == disagreement(other, some) > 0
