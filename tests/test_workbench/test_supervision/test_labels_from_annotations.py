"""Annotated boxes and masks as a label store, which no result from tags may rest on."""

import numpy as np
import pytest
import toy
from mmengine.registry import init_default_scope

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.devkit import open_devkit
from mmlabelpenet.workbench.experiments.store_quality import store_quality
from mmlabelpenet.workbench.supervision.audit import audit
from mmlabelpenet.workbench.supervision.labels_from_annotations import SUPERVISION, labels_from_annotations


def devkit_of(root):
    return open_devkit(root, toy.dataset_config(root, 'train')['metainfo']['classes'])


def test_every_object_is_right_and_has_its_mask(toy_root, tmp_path):
    devkit = devkit_of(toy_root)
    labels_from_annotations(devkit, 'train', tmp_path / 'perfect.json')
    store = PseudoLabelStore.load(tmp_path / 'perfect.json')
    row, counts = store_quality(store, devkit)
    assert counts['instances'] == counts['objects'] > 0
    assert row['precision_50'] == row['recall_50'] == 100 and row['mask_iou'] > 99
    assert store.header['supervision'] == SUPERVISION


def test_an_object_that_no_mask_fits_is_a_box_only(toy_root, tmp_path):
    store = labels_from_annotations(devkit_of(toy_root), 'train', tmp_path / 'boxes.json', min_iou=1.1)
    instances = [instance for image_id in store.image_ids for instance in store.instances(image_id)]
    sizes = [np.prod(instance['mask']['size']) for instance in instances]
    assert instances and all(size > 0 for size in sizes)
    assert all(instance['mask'] == dict(instance['mask'], counts=empty(instance['mask']['size'])) for instance in instances)


def empty(size):
    from pycocotools import mask

    return mask.encode(np.zeros(size, np.uint8, order='F'))['counts'].decode()


def test_the_tool_reads_the_list_inside_a_wrapper_and_rejects_a_folder(toy_root, tmp_path, load_tool):
    config, tool = tmp_path / 'config.py', load_tool('analysis_tools/labels_from_annotations.py')
    wrapped = dict(type='ClassBalancedDataset', oversample_thr=0.5, dataset=toy.dataset_config(toy_root))
    toy.write_config(config, toy_root, train_dataloader=dict(dataset=dict(wrapped, _delete_=True)))
    tool.main([str(config), str(tmp_path / 'perfect.json')])
    assert len(PseudoLabelStore.load(tmp_path / 'perfect.json')) == 6
    with pytest.raises(ValueError, match='a folder'):
        tool.main([str(config), str(tmp_path)])


def test_the_audit_refuses_a_training_that_reads_them(toy_root, tmp_path, monkeypatch):
    init_default_scope('mmlabelpenet')
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)  # asks compilers for their versions, for seconds
    labels_from_annotations(devkit_of(toy_root), 'train', tmp_path / 'perfect.json')
    config = toy.run_config(toy_root, 'nowhere', [('classification', 5), ('detection', 5)])
    config.train_cfg.phases.detection.pseudo_labels = str(tmp_path / 'perfect.json')
    (fault,) = audit(config, images=2).faults
    assert 'Training opens 1 file with boxes' in fault and 'perfect.json' in fault
