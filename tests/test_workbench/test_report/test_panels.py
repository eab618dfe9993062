import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toy
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES
from mmlabelpenet.workbench.report.panels import panel
from mmlabelpenet.workbench.report.tiles import Painter, Tile, join


@pytest.fixture
def dataset(toy_root):
    init_default_scope('mmlabelpenet')
    return DATASETS.build(toy.dataset_config(toy_root, train=False))


def store_of(image_id):
    rle = coco_mask.encode(np.ones((toy.HEIGHT, toy.WIDTH), np.uint8, order='F'))
    code = dict(rle, counts=rle['counts'].decode())
    note = dict(image_id=1, category_id=2, bbox=[3, 4, 20, 30], segmentation=code, weight=0.5)
    categories = [dict(id=number, name=name) for number, name in enumerate(RENDERED_CLASSES, 1)]
    return PseudoLabelStore(dict(info={}, images=[dict(id=1, img_id=image_id)], annotations=[note], categories=categories))


def test_a_panel_shows_what_travels_in_its_order(toy_net, dataset, toy_root):
    data = dataset[0]
    before = copy.deepcopy(data['data_samples'].proposals.bboxes)
    stores = {'classification': store_of(data['data_samples'].img_id), 'detection': store_of('another image')}
    kinds = ('input', 'proposals', 'attention', 'labels', 'prediction', 'truth')
    devkit = VOCDevkit(toy_root, RENDERED_CLASSES)
    tiles = panel(toy_net.eval(), data, RENDERED_CLASSES, stores, devkit, kinds, scale=2)
    tags = int(data['data_samples'].gt_image_labels.onehot.sum())
    wanted = ['input', 'proposals', *['attention'] * tags, 'labels', *['prediction'] * 4, 'truth']
    assert [tile.kind for tile in tiles] == wanted
    assert [tile.title for tile in tiles if tile.kind == 'prediction'] == list(toy.STAGES)
    assert all(tile.image.shape == (2 * toy.HEIGHT, 2 * toy.WIDTH, 3) and tile.image.dtype == np.uint8 for tile in tiles)
    assert (data['data_samples'].proposals.bboxes == before).all()


def test_a_panel_without_stores_and_ground_truth_shows_the_rest(toy_net, dataset):
    alone = panel(toy_net.eval(), dataset[0], RENDERED_CLASSES, stages=['detection'], kinds=('attention', 'prediction'))
    assert [tile.kind for tile in alone] == ['prediction']  # without the first stage there is no attention
    kinds = {tile.kind for tile in panel(toy_net.eval(), dataset[0], RENDERED_CLASSES)}
    assert kinds == {'input', 'attention', 'prediction'}


def found(scores):
    count = len(scores)
    boxes = torch.tensor([[2.0, 2, 30, 30]]).repeat(count, 1)
    return InstanceData(bboxes=boxes, scores=torch.tensor(scores), labels=torch.zeros(count).long(), masks=np.ones((count, 40, 60), bool))


@pytest.mark.parametrize(
    ('ranks', 'scores', 'shown'),
    [
        (False, [0.9, 0.31, 0.29], 2),
        (False, [0.2], 0),
        (False, [], 0),
        (True, [0.01, 0.004, 0.002], 2),
        (True, [0.9] * 9, 5),
        (True, [], 0),
    ],
)
def test_detections_are_drawn_from_a_score_on(ranks, scores, shown):
    image = np.zeros((40, 60, 3), np.uint8)
    tile = Painter(image, RENDERED_CLASSES).prediction('detection', found(scores), 0.3, ranks)
    assert tile.note == f'{shown} shown'
    assert tile.image.any() == bool(shown)


def test_joined_images_keep_their_pixels_and_order():
    tiles = [Tile('input', str(value), np.full((4, 6, 3), value, np.uint8)) for value in (10, 20, 30)]
    joined = join(tiles, columns=2, gap=2)
    assert joined.shape == (10, 14, 3)
    assert (joined[:4, :6] == 10).all()
    assert (joined[:4, 8:] == 20).all()
    assert (joined[6:, :6] == 30).all()
    assert (joined[6:, 8:] == 255).all()


def test_joining_nothing_is_an_error():
    with pytest.raises(ValueError, match='at least one'):
        join([])


def test_the_image_of_the_readme_has_tags_labels_of_each_stage_and_the_result_in_a_row(toy_root, load_tool):
    path = min((toy_root / 'JPEGImages').glob('train_*'))
    found = SimpleNamespace(stage='segmentation', draw=lambda image, scale: image)
    inferencer = type('Inferencer', (), dict(classes=RENDERED_CLASSES, __call__=lambda self, path: [found]))()
    stores = {name: store_of(path.stem) for name in ('classification', 'detection')}
    tiles = load_tool('../docs/images/stages.py').row(path, inferencer, stores, 1.0)
    titles = [f'tags: {RENDERED_CLASSES[1]}', 'labels of classification', 'labels of detection', 'result of segmentation']
    assert [tile.title for tile in tiles] == titles
    assert {tile.image.shape for tile in tiles} == {(toy.HEIGHT, toy.WIDTH, 3)}
