import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
import slow_references as slow
from random_images import SIZE
from tiny_devkit import CLASSES, devkit_images, write_devkit

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.functional import encode_masks
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.experiments.store_quality import store_quality

TOOL = Path(__file__).parents[3] / 'tools' / 'analysis_tools' / 'pseudo_label_quality.py'


def some_images(seed, **kwargs):
    """Random images whose scores can be weights."""
    images = devkit_images(seed, **kwargs)
    return {name: image | dict(scores=(image['scores'] + 1) / 2) for name, image in images.items()}


def store_of(images, stage='detection'):
    """The predictions of random images as a store, scores as weights."""
    found, annotations = [], []
    for number, (image_id, image) in enumerate(images.items(), 1):
        found.append(dict(id=number, img_id=image_id, file_name=f'{image_id}.jpg', height=SIZE[0], width=SIZE[1]))
        for box, label, score, mask in zip(image['bboxes'].tolist(), image['labels'], image['scores'], image['masks'], strict=True):
            code = encode_masks(mask[None])[0]
            left, top, right, bottom = box
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=int(label) + 1,
                    bbox=[left, top, right - left, bottom - top],
                    segmentation=dict(size=code['size'], counts=code['counts'].decode()),
                    weight=float(score),
                )
            )
    categories = [dict(id=index, name=name) for index, name in enumerate(CLASSES, 1)]
    return dict(info=dict(stage=stage, split='val'), images=found, annotations=annotations, categories=categories)


def slow_row(images, label):
    """Precision, recall and overlaps of one class, instance by instance."""
    verdicts, wanted = slow.voc_verdicts(images, label, 0.5, 'bboxes')
    boxes, masks = [], []
    for (image, index), verdict in zip(slow.ranked(images, label), verdicts, strict=True):
        if verdict is None:
            continue
        weight, targets = float(image['scores'][index]), slow.members(image, label)
        box = max([slow.overlap(image, 'bboxes', index, target) for target in targets], default=0.0)
        boxes.append((weight, float(verdict), box))
        if image['masks'][index].any():
            masks.append((weight, max([slow.overlap(image, 'masks', index, target) for target in targets], default=0.0)))

    def mean(rows, column, weighted):
        weights = [row[0] if weighted else 1.0 for row in rows]
        return 100 * sum(w * row[column] for w, row in zip(weights, rows, strict=True)) / sum(weights) if sum(weights) else math.nan

    found = {'recall_50': 100 * sum(row[1] for row in boxes) / wanted if wanted else math.nan}
    for weighted, end in ((False, ''), (True, '_weighted')):
        found |= {f'precision{end}_50': mean(boxes, 1, weighted), f'box_iou{end}': mean(boxes, 2, weighted)}
        found[f'mask_iou{end}'] = mean(masks, 1, weighted)
    return found


@pytest.mark.parametrize('seed', range(12))
def test_quality_of_a_store_equals_going_through_its_instances(tmp_path, seed):
    images = some_images(seed, count=8)
    row, counts = store_quality(PseudoLabelStore(store_of(images)), VOCDevkit(write_devkit(tmp_path, images), CLASSES))
    assert counts['images'] == counts['images_with_instance_masks'] == 8
    assert counts['instances'] == sum(len(image['labels']) for image in images.values())
    assert counts['objects'] == sum((~image['gt_difficult']).sum() for image in images.values())
    for label, name in enumerate(CLASSES):
        for key, value in slow_row(list(images.values()), label).items():
            found = row['per_class'][key][name]
            np.testing.assert_allclose(math.nan if found is None else found, value, atol=1e-9, err_msg=f'{key} of {name}')


def test_without_mask_files_there_are_boxes_alone(tmp_path):
    images = some_images(20)
    for image in images.values():
        image['gt_masks'] = None
    row, counts = store_quality(PseudoLabelStore(store_of(images)), VOCDevkit(write_devkit(tmp_path, images), CLASSES))
    assert counts['images_with_instance_masks'] == 0
    assert row['box_iou'] is not None
    assert 'mask_iou' not in row


def test_an_empty_store_has_no_precision_and_finds_nothing(tmp_path):
    images = some_images(21)
    content = dict(store_of(images), annotations=[])
    row, _ = store_quality(PseudoLabelStore(content), VOCDevkit(write_devkit(tmp_path, images), CLASSES))
    assert row['precision_50'] is None
    assert row['recall_50'] == 0.0


def test_a_store_of_other_classes_is_refused(tmp_path):
    images = some_images(22)
    devkit = VOCDevkit(write_devkit(tmp_path, images), CLASSES[::-1])
    with pytest.raises(ValueError, match='has the classes cat, cow, dog, but the devkit is opened with dog, cow, cat'):
        store_quality(PseudoLabelStore(store_of(images)), devkit)


def load_tool():
    spec = importlib.util.spec_from_file_location('pseudo_label_quality', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_gives_a_row_for_each_store_of_a_folder_in_the_order_of_writing(tmp_path, capsys):
    images = some_images(23)
    root, folder = write_devkit(tmp_path / 'devkit', images), tmp_path / 'pseudo_labels'
    folder.mkdir()
    for stage in ('detection', 'refinement'):
        (folder / f'{stage}.json').write_text(json.dumps(store_of(images, stage)))
    load_tool().main([str(folder), str(root), '--per-class', '--out', str(tmp_path / 'quality.json')])
    out = capsys.readouterr().out
    assert out.index('| detection |') < out.index('| refinement |')
    written = json.loads((tmp_path / 'quality.json').read_text())
    assert list(written) == ['detection', 'refinement', 'meta']
    assert written['meta']['stores']['detection']['split'] == 'val'
    assert set(written['detection']['per_class']['recall_50']) == set(CLASSES)


def test_the_command_names_a_file_that_is_no_store(tmp_path):
    (tmp_path / 'a.json').write_text('{}')
    with pytest.raises(ValueError, match=r"a\.json' is not a label store"):
        load_tool().main([str(tmp_path / 'a.json'), str(write_devkit(tmp_path / 'devkit', devkit_images(1)))])
