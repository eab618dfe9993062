"""One interface to data sets of every layout."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.coco import COCODevkit
from mmlabelpenet.evaluation.devkit import open_devkit
from mmlabelpenet.evaluation.metrics import StageMetric
from mmlabelpenet.evaluation.voc import VOCDevkit

LAYOUTS = {'VOCdevkit/VOC2007': 'trainval', 'VOCdevkit/VOC2012': 'val', 'VOCdevkit/VOC0712': 'trainval', 'coco': 'val2017'}


@pytest.mark.parametrize(('folder', 'split'), LAYOUTS.items())
def test_every_layout_gives_images_tags_objects_and_masks(workspace, folder, split):
    devkit = open_devkit(workspace / 'data' / folder)
    assert isinstance(devkit, COCODevkit if folder == 'coco' else VOCDevkit) and len(devkit.classes) == (80 if folder == 'coco' else 20)
    tags, masked = devkit.tags(split, use_difficult=True), 0
    for image_id in devkit.image_ids(split):
        objects, masks, painted = devkit.objects(image_id), devkit.instance_masks(image_id), devkit.class_mask(image_id)
        assert devkit.image_path(image_id).is_file() and devkit.is_annotated(image_id)
        assert sorted(set(objects.labels.tolist())) == tags[image_id]
        assert np.array_equal(devkit.all_boxes(image_id).bboxes, objects.bboxes)
        masked += masks is not None and len(masks.labels) > 0
        if masks is not None:
            assert {1 + label for label in masks.labels} <= set(np.unique(painted)) and painted.shape == devkit.image_size(image_id)
    assert masked or folder == 'VOCdevkit/VOC2007'


def test_images_of_a_list_whose_annotations_are_on_a_server_are_not_annotated(workspace):
    devkit = open_devkit(workspace / 'data/VOCdevkit/VOC2012', VOC_CLASSES)
    assert not any(devkit.is_annotated(image_id) for image_id in devkit.image_ids('test'))


def test_a_folder_of_neither_layout_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='Expected a VOC devkit'):
        open_devkit(tmp_path)
    (tmp_path / 'annotations').mkdir()
    with pytest.raises(FileNotFoundError, match='instances_SPLIT.json'):
        open_devkit(tmp_path)


def test_dumped_results_of_coco_are_those_that_pycocotools_reads(workspace, tmp_path):
    devkit = open_devkit(workspace / 'data/coco', ('dog', 'cat', 'person', 'cow', 'horse', 'sheep'))
    metric = StageMetric(str(devkit.data_root), 'val2017', stages=['segmentation'], dump=tmp_path / 'results.json')
    metric.dataset_meta = dict(classes=devkit.classes)
    for image_id in devkit.image_ids('val2017'):
        truth, masks = devkit.objects(image_id), devkit.instance_masks(image_id)
        easy = ~truth.difficult
        found = dict(bboxes=truth.bboxes[easy], labels=truth.labels[easy], scores=np.ones(easy.sum()), masks=masks.masks)
        metric.process(None, [dict(img_id=image_id, stage_predictions=dict(segmentation=found))])
    metric.evaluate(3)
    truth = COCO(devkit.data_root / 'annotations/instances_val2017.json')
    loaded = truth.loadRes(str(tmp_path / 'results.json'))
    assert len(loaded.anns) == len(json.loads((tmp_path / 'results.json').read_text())) > 0
    wanted = {(note['image_id'], note['category_id'], *note['bbox']) for note in truth.anns.values() if not note['iscrowd']}
    assert {(note['image_id'], note['category_id'], *note['bbox']) for note in loaded.anns.values()} == wanted
