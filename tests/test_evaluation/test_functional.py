"""The metrics as a whole: which modules they import, and that they do not modify their arguments."""

import json
import subprocess
import sys

import numpy as np
from random_images import flat, random_dataset

from mmlabelpenet.evaluation import functional

FRAMEWORKS = {'torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'cv2', 'matplotlib'}


def modules_after(statement):
    code = f'import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))'
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    return {name.split('.')[0] for name in json.loads(found)}


def test_the_measures_are_imported_without_any_framework():
    loaded = modules_after('from mmlabelpenet.evaluation import functional')
    assert 'numpy' in loaded
    assert not loaded & FRAMEWORKS
    assert modules_after('import torch') & FRAMEWORKS  # the test can see one


def test_results_of_other_programs_are_read_and_scored_without_any_framework():
    loaded = modules_after('from mmlabelpenet.evaluation import coco_results, scoring, table')
    assert not loaded & FRAMEWORKS


def test_every_name_of_the_module_is_there_and_has_an_example_or_is_a_plain_type():
    for name in functional.__all__:
        value = getattr(functional, name)
        if callable(value) and not isinstance(value, type) and hasattr(value, '__doc__') and value.__module__.startswith('mmlabelpenet'):
            assert '>>>' in value.__doc__, name


def test_measures_leave_their_arguments_as_they_were():
    data = flat(random_dataset(4))
    before = {key: value.copy() for key, value in data.items()}
    detections = functional.Detections(data['images'], data['labels'], data['scores'], data['bboxes'])
    objects = functional.Objects(data['gt_images'], data['gt_labels'], data['gt_bboxes'], data['gt_difficult'])
    functional.box_average_precisions(detections, objects, 3)
    best = functional.best_overlaps(*detections[:2], detections.bboxes, *objects[:3], num_classes=3)
    functional.corloc_counts(*detections[:3], best.iou, data['gt_images'], data['gt_labels'], data['gt_difficult'], 3)
    functional.match_voc(best, data['scores'], data['gt_difficult'], 0.5)
    iou = functional.box_iou(data['bboxes'], data['gt_bboxes'])
    copy = iou.copy()
    functional.match_coco(iou, data['labels'], data['scores'], data['gt_labels'], [0.25, 0.5])
    functional.best_in_matrix(iou, data['labels'], data['gt_labels'])
    functional.best_per_object(iou, data['labels'], data['gt_labels'])
    np.testing.assert_array_equal(iou, copy)
    for key, value in before.items():
        np.testing.assert_array_equal(data[key], value, err_msg=key)
