import json
import math
import pickle
import shutil
from unittest.mock import Mock

import numpy as np
import pytest
import slow_references as slow
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement, InstanceData
from random_images import SIZE
from tiny_devkit import CLASSES, STAGES, devkit_images, write_devkit

from mmlabelpenet import evaluation
from mmlabelpenet.evaluation import metrics
from mmlabelpenet.evaluation.devkit import Masks, Objects
from mmlabelpenet.evaluation.functional import encode_masks
from mmlabelpenet.evaluation.metrics import StageMetric, read_truth
from mmlabelpenet.evaluation.scoring import Settings
from mmlabelpenet.registry import METRICS


def fields(image, masks=True):
    result = {'bboxes': image['bboxes'], 'scores': image['scores'], 'labels': image['labels']}
    return {**result, 'masks': image['masks']} if masks else result


def samples_of(images):
    """Detection without masks, segmentation with them."""
    return [
        {'img_id': image_id, 'stage_predictions': {'detection': fields(image, masks=False), 'segmentation': fields(image)}}
        for image_id, image in images.items()
    ]


def run(root, samples, **options):
    metric = StageMetric(str(root), options.pop('split', 'val'), options.pop('stages', STAGES), **options)
    metric.dataset_meta = {'classes': CLASSES}
    for sample in samples:
        metric.process(None, [sample])
    return metric, metric.evaluate(size=len(samples))


def slow_values(images, kind):
    """Every metric of the table per class as percent, by the slow references."""
    images = list(images.values())
    labels = range(len(CLASSES))
    values = {}
    for mode in ('11point', 'area'):
        values[f'bbox_mAP_50_{mode}'] = [slow.average_precision(*slow.voc_verdicts(images, k, 0.5, 'bboxes'), mode) for k in labels]
    if kind == 'masks':
        for thr in (0.25, 0.5, 0.7, 0.75):
            for mode in ('11point', 'area'):
                found = [slow.average_precision(*slow.voc_verdicts(images, k, thr, 'masks'), mode) for k in labels]
                values[f'segm_mAP_{100 * thr:g}_{mode}'] = found
            found = [slow.average_precision(*slow.coco_verdicts(images, k, thr, 'masks'), 'coco101') for k in labels]
            values[f'segm_mAP_{100 * thr:g}_coco101'] = found
        values['ABO_class'] = [slow.average_best_overlap(images, k, 'masks') for k in labels]
        values['ABO_agnostic'] = [slow.average_best_overlap(images, k, 'masks', aware=False) for k in labels]
        maps = [slow.class_map(image, SIZE, 0.3) for image in images]
        truths = [image['class_mask'].tolist() for image in images]
        values['mIoU'] = [slow.class_iou(maps, truths, value) for value in range(len(CLASSES) + 1)]
    return {key: [100 * value for value in found] for key, found in values.items()}


def mean(values):
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else None


def test_options_of_mmengines_metrics_are_passed_on(tmp_path):
    metric = StageMetric(str(tmp_path), 'val', collect_device='gpu', prefix='voc')
    assert metric.collect_device == 'gpu' and metric.prefix == 'voc'
    assert StageMetric(str(tmp_path), 'val', collect_dir=str(tmp_path)).collect_dir == str(tmp_path)


def test_images_that_were_not_predicted_are_counted(tmp_path, monkeypatch):
    said, images = [], devkit_images(0, 3)
    monkeypatch.setattr(metrics, 'warn', said.append)
    root = write_devkit(tmp_path, images)
    run(root, samples_of(images))
    assert not any(message.startswith('Only') for message in said)
    run(root, samples_of(images)[:2])
    assert [message for message in said if message.startswith('Only')] == ["Only 2 of 3 images of 'val' were evaluated."]


@pytest.mark.parametrize('seed', range(8))
def test_every_value_of_the_table_equals_the_slow_references(tmp_path, seed):
    images = devkit_images(seed)
    metric, flat = run(write_devkit(tmp_path, images), samples_of(images))
    for stage, kind in (('detection', 'bboxes'), ('segmentation', 'masks')):
        expected, row = slow_values(images, kind), metric.table[stage]
        for key, values in expected.items():
            per_class = [math.nan if value is None else value for value in row['per_class'][key].values()]
            np.testing.assert_allclose(per_class, values, atol=1e-9, err_msg=key)
            assert row[key] == pytest.approx(mean(values), abs=1e-9)
            assert flat.get(f'{stage}/{key}') == row[key]


def test_without_metrics_predictions_are_written_and_no_annotation_is_read(tmp_path):
    images = devkit_images(0)
    root = write_devkit(tmp_path / 'devkit', images)
    shutil.rmtree(root / 'Annotations')
    metric, flat = run(root, samples_of(images), metric=(), dump=tmp_path / 'results.json')
    assert flat == {} and all(value is None for row in metric.table.values() for key, value in row.items() if key != 'per_class')
    written = json.loads((tmp_path / 'results.segmentation.json').read_text())
    assert len(written) == sum(len(image['labels']) for image in images.values())


@pytest.mark.parametrize(
    ('groups', 'read'),
    [
        ((), set()),
        (('bbox',), {'objects'}),
        (('corloc',), {'objects'}),
        (('segm',), {'objects', 'instance_masks'}),
        (('abo',), {'objects', 'instance_masks'}),
        (('miou',), {'objects', 'class_mask'}),
        (('bbox', 'segm', 'miou'), {'objects', 'instance_masks', 'class_mask'}),
    ],
)
def test_annotations_are_read_that_the_metrics_need_and_no_others(groups, read):
    objects = Objects(np.zeros((1, 4), np.float32), np.zeros(1, np.int64), np.zeros(1, bool))
    devkit = Mock(
        **{'objects.return_value': objects, 'instance_masks.return_value': Masks(np.zeros(1, np.int64), np.ones((1, 2, 3), bool))}
    )
    truth = read_truth(devkit, 'a', Settings(1, groups))
    assert {name for name, *_ in devkit.method_calls} == read and len(truth.labels) == len(groups[:1])
    assert (truth.masks is not None) == ('instance_masks' in read) and (truth.class_mask is not None) == ('class_mask' in read)


def test_ranks_dump_their_images_and_the_first_joins_those_of_all(tmp_path, monkeypatch):
    images, found = devkit_images(0, 4), []
    root = write_devkit(tmp_path / 'devkit', images)
    for rank in (1, 0):
        monkeypatch.setattr(metrics, 'get_rank', lambda rank=rank: rank)
        metric = StageMetric(str(root), 'val', ['detection'], metric='bbox', dump=str(tmp_path / 'out.json'))
        metric.dataset_meta = {'classes': CLASSES}
        metric.process(None, samples_of(images)[rank::2])
        found.append(metric)
    monkeypatch.setattr(metrics, 'get_world_size', lambda: 2)
    metric.compute_metrics([result for each in found for result in each.results])
    dumped = [entry['image_id'] for entry in json.loads((tmp_path / 'out.json').read_text())]
    assert list(dict.fromkeys(dumped)) == [image_id for image_id, image in images.items() if len(image['labels'])] and len(dumped) > 4


def test_the_log_shows_the_columns_that_some_stage_has(tmp_path, monkeypatch):
    said, images = [], devkit_images(0)
    monkeypatch.setattr(metrics, 'print_log', lambda text, *_, **__: said.append(text))
    metric, _ = run(write_devkit(tmp_path, images), samples_of(images), metric=['abo', 'bbox'])
    columns = ['bbox_mAP_50_11point', 'bbox_mAP_50_area', 'ABO_class', 'ABO_agnostic']
    assert said == [f'test on val, percent:\n{evaluation.text_table(metric.table, columns)}']


def test_one_group_of_metrics_may_be_given_by_its_name(tmp_path):
    images = devkit_images(0)
    metric, flat = run(write_devkit(tmp_path, images), samples_of(images), metric='bbox')
    assert flat and all('bbox' in key for key in flat)


@pytest.mark.parametrize('score_thr', [0.0, 0.125, 0.5, 1.0])
def test_score_threshold_of_class_maps_is_the_one_asked_for(tmp_path, score_thr):
    images = devkit_images(12, count=8)
    metric, _ = run(write_devkit(tmp_path, images), samples_of(images), semantic_score_thr=score_thr)
    maps = [slow.class_map(image, SIZE, score_thr) for image in images.values()]
    truths = [image['class_mask'].tolist() for image in images.values()]
    expected = [100 * slow.class_iou(maps, truths, value) for value in range(len(CLASSES) + 1)]
    np.testing.assert_allclose(list(metric.table['segmentation']['per_class']['mIoU'].values()), expected, atol=1e-9)
    assert metric.meta['semantic_score_thr'] == score_thr


def test_stage_without_masks_has_null_and_not_zero(tmp_path):
    images = devkit_images(0)
    metric, flat = run(write_devkit(tmp_path, images), samples_of(images))
    row = metric.table['detection']
    assert row['bbox_mAP_50_area'] is not None
    assert all(row[key] is None for key in row if key.startswith(('segm', 'ABO', 'mIoU', 'CorLoc')))
    assert all(isinstance(value, float) for value in flat.values())


def test_stage_that_predicts_nothing_gets_zero_and_absent_stage_null(tmp_path):
    images = devkit_images(1)
    empty = {'bboxes': np.zeros((0, 4)), 'scores': np.zeros(0), 'labels': np.zeros(0, int), 'masks': np.zeros((0, *SIZE), bool)}
    samples = [{'img_id': image_id, 'stage_predictions': {'segmentation': empty, 'detection': None}} for image_id in images]
    metric, _ = run(write_devkit(tmp_path, images), samples, stages=('classification', *STAGES))
    assert metric.table['segmentation']['segm_mAP_50_area'] == 0.0
    assert metric.table['segmentation']['ABO_class'] == 0.0
    for stage in ('classification', 'detection'):
        assert all(value is None for key, value in metric.table[stage].items() if key != 'per_class')


def test_corloc_protocol_gives_corloc_alone(tmp_path):
    images = devkit_images(2, count=12)
    metric, flat = run(write_devkit(tmp_path, images), samples_of(images), protocol='corloc')
    for skip, key in ((False, 'CorLoc_50'), (True, 'CorLoc_50_no_difficult_only')):
        expected = [100 * slow.corloc(list(images.values()), label, 0.5, skip) for label in range(len(CLASSES))]
        np.testing.assert_allclose(list(metric.table['detection']['per_class'][key].values()), expected, atol=1e-9)
    assert {key.split('/')[1] for key in flat} == {'CorLoc_50', 'CorLoc_50_no_difficult_only'}


def test_result_does_not_depend_on_the_order_in_which_images_come(tmp_path):
    images = devkit_images(3)
    root, samples = write_devkit(tmp_path, images), samples_of(images)
    assert run(root, samples)[0].table == run(root, samples[::-1])[0].table


def test_tensors_run_length_codes_and_bitmaps_score_like_arrays(tmp_path):
    images = devkit_images(4)
    root, samples = write_devkit(tmp_path, images), samples_of(images)
    expected = run(root, samples)[0].table['segmentation']
    for turn in (torch.from_numpy, encode_masks, lambda masks: BitmapMasks(masks, *SIZE)):
        others = []
        for image_id, image in images.items():
            instances = InstanceData(
                bboxes=torch.from_numpy(image['bboxes']), scores=torch.from_numpy(image['scores']), labels=torch.from_numpy(image['labels'])
            )
            instances.masks = turn(image['masks'])
            others.append({'img_id': image_id, 'stage_predictions': {'segmentation': instances}})
        assert run(root, others)[0].table['segmentation'] == expected


def test_evaluator_of_mmengine_passes_samples_through(tmp_path):
    images = devkit_images(5)
    root, samples = write_devkit(tmp_path, images), samples_of(images)
    config = {'type': 'mmlabelpenet.StageMetric', 'data_root': str(root), 'split': 'val', 'stages': STAGES}
    metric = METRICS.build(config)
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = {'classes': CLASSES}
    elements = [BaseDataElement(metainfo={'img_id': sample['img_id']}, stage_predictions=sample['stage_predictions']) for sample in samples]
    evaluator.process(elements)
    assert evaluator.evaluate(len(elements)) == run(root, samples)[1]


def test_records_hold_no_masks_and_can_be_pickled(tmp_path):
    images = devkit_images(6, count=2)
    metric = StageMetric(str(write_devkit(tmp_path, images)), 'val', STAGES)
    metric.dataset_meta = {'classes': CLASSES}
    metric.process(None, samples_of(images))
    assert len(metric.results) == 2
    assert len(pickle.dumps(metric.results)) < 20_000
    pickle.loads(pickle.dumps(metric.results))


def test_image_without_mask_files_is_left_out_of_mask_metrics_only(tmp_path):
    images = devkit_images(7)
    known = dict(list(images.items())[:4])
    for image in list(images.values())[4:]:
        image['gt_masks'] = None
    metric, _ = run(write_devkit(tmp_path, images), samples_of(images))
    assert metric.meta['images'] == 6
    assert metric.meta['images_with_instance_masks'] == metric.meta['images_with_class_masks'] == 4
    expected = slow_values(known, 'masks')
    assert metric.table['segmentation']['segm_mAP_50_area'] == pytest.approx(mean(expected['segm_mAP_50_area']))
    assert metric.table['segmentation']['mIoU'] == pytest.approx(mean(expected['mIoU']))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'scores': np.array([np.nan, 0.5])}, "Image '2007_000000', stage 'detection': .*NaN at prediction 0"),
        ({'labels': np.array([0, 3])}, 'Labels must be in 0..2, got 0..3'),
        ({'scores': np.array([0.5])}, r'as many scores as labels \(2\), got 1'),
        ({'masks': np.zeros((2, 3, 3), bool)}, r'size .*\(3, 3\), \(12, 14\)'),
    ],
)
def test_wrong_predictions_are_refused_with_image_and_stage(tmp_path, change, message):
    images = devkit_images(8, count=1)
    images['2007_000000'] |= devkit_with_one_object()
    prediction = {'bboxes': np.zeros((2, 4)), 'scores': np.array([0.5, 0.5]), 'labels': np.array([0, 1])} | change
    with pytest.raises(ValueError, match=message):
        run(write_devkit(tmp_path, images), [{'img_id': '2007_000000', 'stage_predictions': {'detection': prediction}}])


def devkit_with_one_object():
    mask = np.zeros((1, *SIZE), bool)
    mask[0, :4, :4] = True
    box = np.array([[0, 0, 4, 4]], np.float32)
    return {
        'gt_bboxes': box, 'gt_labels': np.array([0]), 'gt_difficult': np.array([False]), 'gt_masks': mask,
        'class_mask': mask[0].astype(np.uint8),
    }  # fmt: skip


def test_image_of_another_split_and_image_scored_twice_are_refused(tmp_path):
    images = devkit_images(9)
    root, samples = write_devkit(tmp_path, images), samples_of(images)
    with pytest.raises(KeyError, match="'2012_1' is not in split 'val'"):
        run(root, [{**samples[0], 'img_id': '2012_1'}])
    with pytest.raises(ValueError, match=r"evaluated once, got \['2007_000001'\]"):
        run(root, [*samples, samples[1]])


def test_stage_with_masks_or_predictions_for_some_images_is_refused(tmp_path):
    images = {image_id: image for image_id, image in devkit_images(10, count=12).items() if len(image['labels'])}
    root, samples = write_devkit(tmp_path, images), samples_of(images)
    samples[0]['stage_predictions']['segmentation'] = samples[0]['stage_predictions']['detection']
    with pytest.raises(ValueError, match="'segmentation': The stage has masks for some images"):
        run(root, samples)
    samples[0]['stage_predictions']['segmentation'] = None
    with pytest.raises(ValueError, match=f'predicted only {len(images) - 1} of {len(images)} images'):
        run(root, samples)


def test_the_package_has_its_metrics_and_nothing_else():
    assert evaluation.StageMetric is StageMetric and evaluation.DumpPredictions.__name__ == 'DumpPredictions'
    with pytest.raises(AttributeError, match="'mmlabelpenet.evaluation' has no attribute 'Metric'"):
        _ = evaluation.Metric


def test_unknown_protocol_group_and_threshold_are_refused_when_built(tmp_path):
    with pytest.raises(ValueError, match="got 'coco'"):
        StageMetric(str(tmp_path), 'val', protocol='coco')
    with pytest.raises(ValueError, match=r"has the metric groups \('corloc',\), got \['segm'\]"):
        StageMetric(str(tmp_path), 'val', protocol='corloc', metric=['segm'])
    with pytest.raises(ValueError, match='got 50'):
        StageMetric(str(tmp_path), 'val', box_iou_thrs=[50])
    with pytest.raises(ValueError, match='got 0'):
        StageMetric(str(tmp_path), 'val', mask_iou_thrs=[0])


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(box_iou_thrs=[]), 'box_iou_thrs must have at least one IoU threshold, got none'),
        (dict(mask_iou_thrs=()), 'mask_iou_thrs must have at least one IoU threshold, got none'),
        (dict(mask_iou_thrs=['abc']), r"IoU thresholds must be in \(0, 1\], got 'abc'"),
        (dict(box_iou_thrs=float('nan')), r'IoU thresholds must be in \(0, 1\], got nan'),
        (dict(collect_device='tpu'), "collect_device must be 'cpu' or 'gpu', got 'tpu'"),
    ],
)
def test_settings_that_would_fail_after_the_test_are_refused_when_built(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        StageMetric(str(tmp_path), 'val', **settings)


def test_a_single_threshold_may_be_a_number(tmp_path):
    settings = [StageMetric(str(tmp_path), 'val', box_iou_thrs=thrs, mask_iou_thrs=thrs)._settings for thrs in (0.5, [0.5])]
    assert settings[0] == settings[1]


def test_groups_and_thresholds_of_the_config_decide_what_is_measured(tmp_path):
    images = devkit_images(11)
    metric, flat = run(
        write_devkit(tmp_path, images), samples_of(images), metric=['bbox', 'segm'], box_iou_thrs=[0.75], mask_iou_thrs=[0.125]
    )
    assert {key.split('/')[1] for key in flat} == {
        'bbox_mAP_75_11point', 'bbox_mAP_75_area', 'segm_mAP_12.5_area', 'segm_mAP_12.5_11point', 'segm_mAP_12.5_coco101',
    }  # fmt: skip


@pytest.mark.parametrize('meta', [None, {}, {'palette': [0]}])
def test_a_metric_that_is_not_told_the_classes_says_so(tmp_path, meta):
    metric = StageMetric(str(tmp_path), 'val')
    metric.dataset_meta = meta
    with pytest.raises(ValueError, match=r"needs dataset_meta\['classes'\]"):
        assert metric.settings


def test_without_stages_a_metric_has_a_row_for_each_that_is_predicted_and_one_for_a_model_without_any(tmp_path):
    images = devkit_images(0, 2)
    root = write_devkit(tmp_path, images)
    assert list(run(root, samples_of(images), stages=None)[0].table) == list(STAGES)
    plain = [dict(img_id=image_id, pred_instances=fields(image)) for image_id, image in images.items()]
    assert list(run(root, plain, stages=None)[0].table) == ['result']
