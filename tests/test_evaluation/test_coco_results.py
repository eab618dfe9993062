import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
from random_images import SIZE
from test_metrics import run, samples_of
from tiny_devkit import CLASSES, devkit_images, write_devkit

from mmlabelpenet.evaluation.coco_results import ResultsFile
from mmlabelpenet.evaluation.devkit import ResultNames
from mmlabelpenet.evaluation.functional import encode_masks

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'eval_predictions.py'


def load_tool():
    spec = importlib.util.spec_from_file_location('eval_predictions', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries_of(images, masks=True):
    entries = []
    for image_id, image in images.items():
        for index, (left, top, right, bottom) in enumerate(image['bboxes'].tolist()):
            entry = {'image_id': image_id, 'category_id': int(image['labels'][index]) + 1, 'score': float(image['scores'][index])}
            entry |= {'id': len(entries) + 1, 'bbox': [left, top, right - left, bottom - top]}
            if masks:
                code = encode_masks(image['masks'][index][None])[0]
                entry['segmentation'] = {'size': code['size'], 'counts': code['counts'].decode()}
            entries.append(entry)
    return entries


def evaluate(tmp_path, images, entries, *options):
    root = write_devkit(tmp_path / 'devkit', images)
    path, out = tmp_path / 'results.json', tmp_path / 'out' / 'metrics.json'
    path.write_text(json.dumps(entries))
    load_tool().main([str(root), 'val', str(path), '--classes', *CLASSES, '--out', str(out), *options])
    return json.loads(out.read_text())


@pytest.mark.parametrize('protocol', ['test', 'corloc'])
def test_offline_scores_equal_those_of_the_metric(tmp_path, protocol):
    images = devkit_images(0)
    entries = entries_of(images)
    # Entries of an image need not stand together; among themselves they keep their order.
    shuffled = [entry for part in range(3) for entry in entries if int(entry['image_id'][-1]) % 3 == part]
    result = evaluate(tmp_path, images, shuffled, '--protocol', protocol)
    metric, _ = run(tmp_path / 'devkit', samples_of(images), protocol=protocol)
    assert result['predictions'] == metric.table['segmentation']
    assert result['meta']['entries'] == len(entries)
    assert result['meta']['images'] == len(images)
    assert {'predictions_sha256', 'commit', 'versions', 'wall_time_s', 'data', 'split', 'protocol'} <= set(result['meta'])


def test_thresholds_and_legacy_coordinates_are_named_in_the_keys(tmp_path):
    images = devkit_images(4)
    options = ['--legacy', '--box-iou-thrs', '0.625', '--mask-iou-thrs', '0.5']
    result = evaluate(tmp_path, images, entries_of(images), *options)
    metric, _ = run(tmp_path / 'devkit', samples_of(images), legacy=True, box_iou_thrs=[0.625], mask_iou_thrs=[0.5])
    assert result['predictions'] == metric.table['segmentation']
    assert {'bbox_mAP_62.5_11point_legacy', 'bbox_mAP_62.5_area_legacy', 'segm_mAP_50_coco101'} <= set(result['predictions'])
    assert not [key for key in result['predictions'] if key.startswith('bbox') and not key.endswith('legacy')]
    corloc = evaluate(tmp_path, images, entries_of(images), '--legacy', '--protocol', 'corloc')
    assert corloc['predictions']['CorLoc_50_no_difficult_only_legacy'] is not None
    assert corloc['predictions']['CorLoc_50_legacy'] is not None


def test_results_without_masks_have_null_for_mask_metrics(tmp_path):
    images = devkit_images(1)
    result = evaluate(tmp_path, images, entries_of(images, masks=False))
    metric, _ = run(tmp_path / 'devkit', samples_of(images))
    assert result['predictions'] == metric.table['detection']


def test_no_entries_at_all_score_zero(tmp_path):
    result = evaluate(tmp_path, devkit_images(2), [])
    assert result['predictions']['bbox_mAP_50_area'] == 0.0
    assert result['predictions']['segm_mAP_50_area'] is None


BROKEN = [
    ({'image_id': '2012_000001'}, "image_id '2012_000001' is not an image of the split"),
    ({'image_id': 2007000000}, 'image_id 2007000000 is not an image of the split'),
    ({'category_id': 4}, 'class 4 is unknown: use the id or the name of one of 1 cat, 2 cow, 3 dog'),
    ({'category_id': 0}, 'class 0 is unknown'),
    ({'category_id': 'horse'}, "class 'horse' is unknown"),
    ({'category_id': True}, r'got `bool` - at `\$.category_id`'),
    ({'category_id': None}, 'no category_id'),
    ({'category_id': 1, 'category_name': 'dog'}, 'differ'),
    ({'score': float('nan')}, 'JSON is malformed: invalid character'),
    ({'score': float('inf')}, 'JSON is malformed: invalid character'),
    ({'score': 10**400}, r'Number out of range - at `\$.score`'),
    ({'score': '0.5'}, r'Expected `float`, got `str` - at `\$.score`'),
    ({'score': None}, r'Expected `float`, got `null` - at `\$.score`'),
    ({'bbox': [0, 0, 1]}, r'Expected `array` of length 4 - at `\$.bbox`'),
    ({'bbox': [0, 0, float('nan'), 1]}, 'JSON is malformed'),
    ({'bbox': None, 'segmentation': None}, 'neither a bbox nor a segmentation'),
    ({'more': 5000 * [[]], 'score': 'a'}, 'score`'),
    ({'bbox': [0, 0, -1, 1]}, 'non-negative width and height'),
    ({'segmentation': {'size': [14, 12], 'counts': [168]}}, r'size \[14, 12\], but the image has \[12, 14\]'),
    ({'segmentation': {'size': list(SIZE), 'counts': '6P'}}, 'middle of a number'),
    ({'segmentation': {'size': list(SIZE), 'counts': [100]}}, 'cover 100 pixels'),
    ({'segmentation': None}, 'either all entries must have a segmentation or none'),
    ({'id': 1}, 'id 1 is already used by entry 1'),
    ({'id': [1]}, r'got `array` - at `\$.id`'),
    ({'segmentation': {'size': [100_000, 100_000], 'counts': [10**10]}}, r'but the image has \[12, 14\]'),
    ({'segmentation': {'size': list(SIZE), 'counts': [10**30]}}, 'neither a string nor a list of valid run lengths'),
]


@pytest.mark.parametrize(('change', 'message'), BROKEN)
def test_entry_that_cannot_be_scored_is_named_in_one_error_and_nothing_is_written(tmp_path, change, message):
    images = devkit_images(3)
    entries = entries_of(images)
    entries[2] |= change
    with pytest.raises(ValueError, match=r'^Entry 3') as error:
        evaluate(tmp_path, images, entries)
    assert re.search(message, str(error.value)) and '\n' not in str(error.value)
    assert not (tmp_path / 'out').exists()


def results(tmp_path, entries):
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(entries))
    return ResultsFile(path, ResultNames({'a': 'a', 'b': 7}, {name: 10 * k for k, name in enumerate(CLASSES, 1)}), lambda image_id: SIZE)


def test_class_may_be_a_name_and_box_may_come_from_the_mask(tmp_path):
    mask = np.zeros((1, *SIZE), bool)
    mask[0, 2:5, 3:9] = True
    code = encode_masks(mask)[0]
    segmentation = {'size': code['size'], 'counts': code['counts'].decode()}
    entries = [
        {'image_id': 'b', 'category_id': 'dog', 'score': 0.5, 'segmentation': segmentation},
        {'image_id': 'b', 'category_name': 'cow', 'score': 1, 'segmentation': segmentation, 'bbox': [1, 2, 3, 4]},
    ]
    prediction = results(tmp_path, entries).prediction('b')
    assert prediction.labels.tolist() == [2, 1]
    assert prediction.bboxes.tolist() == [[3, 2, 9, 5], [1, 2, 4, 6]]
    assert prediction.masks == [code, code]


def test_images_and_classes_may_be_given_by_the_numbers_of_their_data_set(tmp_path):
    found = results(tmp_path, [{'image_id': 7, 'category_id': 30, 'score': 0.5, 'bbox': [0, 0, 1, 1]}])
    assert found.prediction('b').labels.tolist() == [2] and found.classes == CLASSES
    with pytest.raises(ValueError, match='class 3 is unknown'):
        results(tmp_path, [{'image_id': 7, 'category_id': 3, 'score': 0.5, 'bbox': [0, 0, 1, 1]}])


def test_an_id_is_a_number_before_it_is_the_name_of_another_image_or_class(tmp_path):
    """Numbers may be text: an image 2.jpg may have the id '1', and 1.jpg the id '2'."""
    path = tmp_path / 'results.json'
    path.write_text(json.dumps([dict(image_id='1', category_id='1', category_name='two', bbox=[1, 1, 2, 2], score=0.5)]))
    found = ResultsFile(path, ResultNames({'1': '2', '2': '1'}, {'1': '2', 'two': '1'}), lambda image_id: SIZE)
    assert found.prediction('2').labels.tolist() == [1] and len(found.prediction('1').labels) == 0
    path.write_text(json.dumps([dict(image_id='a', category_name='1', bbox=[1, 1, 2, 2], score=0.5)]))
    found = ResultsFile(path, ResultNames({'a': 7}, {'1': '2', 'two': '1'}), lambda image_id: SIZE)
    assert found.prediction('a').labels.tolist() == [0]


def test_a_box_without_width_is_an_entry(tmp_path):
    (box,) = results(tmp_path, [{'image_id': 'a', 'category_id': 10, 'bbox': [3, 4, 0, 0], 'score': 1}]).prediction('a').bboxes
    assert box.tolist() == [3, 4, 3, 4]


def test_image_without_entries_has_an_empty_prediction(tmp_path):
    prediction = results(tmp_path, [{'image_id': 'b', 'category_id': 10, 'score': 0.5, 'bbox': [0, 0, 1, 1]}]).prediction('a')
    assert prediction.bboxes.shape == (0, 4)
    assert prediction.masks is None


def test_entry_that_is_no_object_is_named(tmp_path):
    with pytest.raises(ValueError, match='Entry 1 of .*Expected `object`, got `array`'):
        results(tmp_path, [[1, 2]])
