"""mmdet's models learn from exported pseudo labels and are evaluated with our metrics."""

import json
from pathlib import Path

import pytest
import small
import torch
import toy
from mmengine.config import Config
from pycocotools import mask as coco_mask

from mmlabelpenet import apis
from mmlabelpenet.apis.config_check import check_config
from mmlabelpenet.apis.overlap import check_overlap, image_files
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.experiments.collect import read_result
from mmlabelpenet.workbench.exports.coco import write_coco
from mmlabelpenet.workbench.exports.labels import choose_labels
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES

ROOT = Path(__file__).resolve().parents[1]
LEAVES = sorted(path.stem for path in ROOT.glob('configs/retrain/*.py'))


@pytest.fixture(autouse=True, scope='module')
def _hurry():
    with pytest.MonkeyPatch.context() as patch:
        toy.hurry(patch)
        yield


def load(name):
    return apis.load_config(ROOT / f'configs/retrain/{name}.py')


@pytest.fixture(scope='module')
def exported(toy_root, tmp_path_factory):
    """The objects of two training images as a store, exported."""
    devkit, out = VOCDevkit(toy_root, RENDERED_CLASSES), tmp_path_factory.mktemp('exported') / 'coco'
    images, annotations = [], []
    for number, image_id in enumerate(devkit.image_ids('train')[:2], 1):
        images.append(dict(id=number, img_id=image_id, file_name=f'{image_id}.jpg', height=toy.HEIGHT, width=toy.WIDTH))
        objects, masks = devkit.objects(image_id), devkit.instance_masks(image_id).masks
        for box, label, mask in zip(objects.bboxes.tolist(), objects.labels.tolist(), masks, strict=True):
            rle = coco_mask.encode(mask.astype('uint8', order='F'))
            segmentation = dict(size=list(rle['size']), counts=rle['counts'].decode())
            note = dict(id=len(annotations) + 1, image_id=number, category_id=label + 1, segmentation=segmentation, weight=1.0, iscrowd=0)
            annotations.append(dict(note, bbox=[*box[:2], box[2] - box[0], box[3] - box[1]], area=float(mask.sum())))
    categories = [dict(id=number, name=name) for number, name in enumerate(RENDERED_CLASSES, 1)]
    store = PseudoLabelStore(dict(info={}, images=images, annotations=annotations, categories=categories))
    write_coco(choose_labels(store), out, toy_root / 'JPEGImages')
    return out


def four_classes(node):
    """Twenty classes become four, in place."""
    for key, value in list(node.items()) if isinstance(node, dict) else ():
        if key in ('num_classes', 'num_things_classes') and value == 20:
            node[key] = 4
        elif key == 'class_weight':
            node[key] = [1.0] * 4 + [0.1]
        elif key == 'metainfo':
            node[key] = dict(classes=RENDERED_CLASSES)
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict | list | tuple):
            four_classes(value)


def small_config(name, exported, toy_root, work_dir):
    path = f'configs/retrain/{name}.py'
    config = small.small_config(path).to_dict()
    four_classes(config)
    config['train_dataloader']['dataset'].update(data_root=f'{exported}/')
    ann_file, folder = f'{toy_root}/ImageSets/Main/test.txt', dict(sub_data_root=f'{toy_root}/')
    config['test_dataloader']['dataset'].update(ann_file=ann_file, data_prefix=folder)
    config['test_evaluator'].update(data_root=str(toy_root), split='test', mask_classes=RENDERED_CLASSES)
    config.update(work_dir=str(work_dir), param_scheduler=None, visualizer=None, custom_hooks=[], log_level='WARNING')
    config['experiment_name'] = f'retrain_{name}'
    config['default_hooks'].pop('visualization', None)
    return Config(config, filename=str(ROOT / path), format_python_code=False)  # whose names the check of keys knows


@pytest.mark.parametrize('name', LEAVES)
def test_every_config_learns_twenty_classes_from_exported_labels_and_is_scored_on_annotated_images(name):
    config = load(name)
    check_config(config)
    assert tuple(config.train_dataloader.dataset.metainfo.classes) == tuple(config.test_dataloader.dataset.metainfo.classes) == VOC_CLASSES
    year = name[-2:]
    assert config.train_dataloader.dataset.data_root == f'data/retrain/voc{year}/'
    assert config.test_evaluator.data_root.endswith(f'VOC20{year}') and not config.test_evaluator.get('_delete_')
    assert f'VOC20{year}/ImageSets' in config.test_dataloader.dataset.ann_file
    assert config.test_dataloader.dataset.ann_file.endswith(f'{config.test_evaluator.split}.txt')
    assert config.val_dataloader is config.val_evaluator is config.val_cfg is None
    assert '80' not in str({key: value for key, value in config.model.items() if 'head' in key})  # no class number of COCO is left
    epochs = config.train_cfg.get('max_epochs')
    assert epochs is None or max(m for s in config.param_scheduler for m in (*s.get('milestones', ()), s.get('end'))) <= max(epochs, 1000)


@pytest.mark.parametrize('name', LEAVES)
def test_a_config_that_a_run_has_written_out_is_accepted_too(name, tmp_path):
    path = tmp_path / f'{name}.py'
    Config(load(name).to_dict(), format_python_code=False).dump(path)
    check_config(apis.load_config(path))


def test_models_with_rois_have_the_recipe_of_retraining():
    for name in ('faster-rcnn_r50-dc5_voc07', 'mask-rcnn_r50-dilated_voc07'):
        config = load(name)
        assert config.model.train_cfg.rcnn.sampler.num == 2048 and config.model.train_cfg.rpn_proposal.max_per_img == 2000
        assert tuple(config.model.backbone.strides) == (1, 2, 2, 1) and tuple(config.model.backbone.dilations) == (1, 1, 1, 2)
        assert len(config.train_dataloader.dataset.pipeline[2].scales) == 5


@pytest.mark.parametrize(
    'name',
    [pytest.param(name, marks=() if name.startswith('rtmdet') else pytest.mark.slow) for name in LEAVES if name.endswith('voc07')],
)
def test_a_model_trains_an_iteration_on_exported_labels_and_is_scored(name, exported, toy_root, tmp_path):
    runner = apis.train(small_config(name, exported, toy_root, tmp_path))
    assert runner.iter == 1
    (checkpoint,) = [path for path in tmp_path.glob('*.pth')]
    table = apis.test(small_config(name, exported, toy_root, tmp_path / 'test'), checkpoint, out=tmp_path / 'metrics.json')
    assert list(table) == ['retrained', 'meta'] and 0 <= table['retrained']['bbox_mAP_50_area'] <= 100
    assert (table['retrained']['segm_mAP_50_area'] is None) == name.startswith('faster')
    written = json.loads((tmp_path / 'metrics.json').read_text())
    assert written['retrained'] == table['retrained']
    done, planned = ('iterations', 'planned_iterations') if name.startswith('mask2former') else ('epochs', 'planned_epochs')
    assert written['meta'][done] == written['meta'][planned] == 1
    written['meta'][planned] = 2
    (tmp_path / 'metrics.json').write_text(json.dumps(written))
    assert 'not the last' in read_result(tmp_path / 'metrics.json').unfit()
    assert all(torch.isfinite(value).all() for value in runner.model.state_dict().values())


def test_labels_of_test_images_are_refused(exported, toy_root, tmp_path):
    config = small_config('mask-rcnn_r50-dilated_voc07', exported, toy_root, tmp_path)
    check_overlap(config)
    config.test_dataloader.dataset.ann_file = f'{toy_root}/ImageSets/Main/train.txt'
    assert len(image_files(config.train_dataloader.dataset)) == 2
    with pytest.raises(ValueError, match='2 images are in the training split .*train.json'):
        check_overlap(config)
