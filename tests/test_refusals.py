"""Invalid values are rejected with one line that states what was expected and what was given."""

import errno
import json
import shutil
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toy
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from PIL import Image
from torch import nn

from mmlabelpenet.calibration.generators import LabelGenerator
from mmlabelpenet.calibration.reading import find_proposals
from mmlabelpenet.datasets.samplers import Draw
from mmlabelpenet.datasets.transforms import PackTagInputs
from mmlabelpenet.evaluation.coco import COCODevkit
from mmlabelpenet.evaluation.metrics import read_prediction
from mmlabelpenet.evaluation.scoring import Settings
from mmlabelpenet.formats.images import read_rgb
from mmlabelpenet.formats.mapped_arrays import ArrayFile
from mmlabelpenet.formats.tag_files import tags_from_file
from mmlabelpenet.models import weights
from mmlabelpenet.models.stage_configs import with_classes
from mmlabelpenet.models.weighted_heads import check_weighted
from mmlabelpenet.registry import DATASETS, MODELS
from mmlabelpenet.tensor_files import read_tensors


def generator_with_a_tensor(folder):
    generator = LabelGenerator()
    generator.centre = torch.zeros(1)
    return generator.settings()


def stage_without_proposals(folder):
    return find_proposals(SimpleNamespace(with_rpn=False), (), DetDataSample())


def coco(folder, **change):
    content = dict(images=[dict(id=k, file_name=f'{k}.jpg') for k in (1, 2)], categories=[dict(id=k, name=str(k)) for k in (3, 4)])
    (folder / 'annotations').mkdir()
    (folder / 'annotations/instances_val.json').write_text(json.dumps(content | dict(annotations=[]) | change))
    return COCODevkit(folder, ('3', '4')).image_ids('val')


def lost_weights(folder):
    boxes = HorizontalBoxes(torch.tensor([[0.0, 0, 4, 4]]))
    found = dict(
        img=np.zeros((8, 8, 3), np.uint8), ori_shape=(8, 8), proposals_missing=True, gt_bboxes=boxes, instances=2 * [dict(weight=1)]
    )
    return PackTagInputs().transform(found)


def decimal_image(folder):
    Image.fromarray(np.ones((20, 20), np.float32)).save(folder / 'a.tif')
    return read_rgb(folder / 'a.tif')


def array(folder, change):
    with zipfile.ZipFile(folder / 'a.npz', 'w', zipfile.ZIP_DEFLATED if change == 'compressed' else zipfile.ZIP_STORED) as archive:
        with archive.open('a.npy', 'w') as member:
            np.lib.format.write_array(member, np.zeros(3), version=(2, 0) if change == 'version' else (1, 0))
    if change == 'place':
        content = (folder / 'a.npz').read_bytes()
        (folder / 'a.npz').write_bytes(content.replace(b'PK\3\4', b'PK\3\5'))
    return ArrayFile(folder / 'a.npz').map('a')


def tags(folder, name, content=None):
    if content is not None:
        (folder / name).write_bytes(content.encode())
    return tags_from_file(folder / name, ['a'], ['cat'])


def rpn(**change):
    return MODELS.build(toy.rpn_head() | change)


def load_without_permission(folder):
    torch.save({}, folder / 'a.pth')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, 'load', lambda *args, **kwargs: (_ for _ in ()).throw(PermissionError(errno.EACCES, 'Not yours')))
        return read_tensors(folder / 'a.pth')


def imagenet_without_a_part(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, 'load_imagenet', lambda *args: {'backbone.a': torch.zeros(1)})
        return weights.ImageNetWeights('vgg16', 'caffe', 'tail', 'a.pth')(nn.Linear(1, 1))


CASES = {
    'settings': (generator_with_a_tensor, TypeError, 'LabelGenerator.centre is a Tensor, which a label store cannot record'),
    'proposals': (stage_without_proposals, ValueError, 'needs proposals, but this image has none'),
    'images': (lambda f: coco(f, images=2 * [dict(id=1, file_name='a.jpg')]), ValueError, 'duplicate ids among its images'),
    'categories': (lambda f: coco(f, categories=2 * [dict(id=3, name='3')]), ValueError, 'duplicate ids among its categories'),
    'weights': (lost_weights, ValueError, '1 of 2 pseudo instances is left after a transform that does not update their weights'),
    'grey image': (lambda f: PackTagInputs().transform(dict(img=np.zeros((8, 9)))), ValueError, r'image \(h, w, 3\), got .*\(8, 9\)'),
    'prediction': (lambda f: read_prediction(dict(bboxes=[], labels=[])), ValueError, 'bboxes, scores and labels; missing: scores'),
    'groups': (lambda f: Settings(1, ('bbox', 'box')), ValueError, r"The metric groups are .*, got \['box'\]"),
    'decimals': (decimal_image, ValueError, 'floating-point values, but 8 or 16 bits were expected'),
    'compressed': (lambda f: array(f, 'compressed'), ValueError, 'a is compressed'),
    'version': (lambda f: array(f, 'version'), ValueError, r'its arrays have the version \(2, 0\)'),
    'place': (lambda f: array(f, 'place'), ValueError, 'a is not at the offset recorded in the archive'),
    'no such tags': (lambda f: tags(f, 'list'), ValueError, r"Tags come from 'lists', 'xml' or a .csv or .json file, got '.*list'"),
    'tags of a kind': (lambda f: tags(f, 'a.txt', 'cat'), ValueError, r"Tags come from .*, got '.*txt'"),
    'missing tags': (lambda f: tags(f, 'a.csv'), FileNotFoundError, 'Expected image tags in .*a.csv., but it is missing'),
    'csv': (lambda f: tags(f, 'a.csv', f'image,tags\na,{"x" * 200_000}\n'), ValueError, 'Line 2 of .*a.csv. is not readable as CSV: field'),
    'sampler': (lambda f: check_weighted([SimpleNamespace()]), ValueError, 'WeightedRandomSampler.*got a SimpleNamespace without weights'),
    'box loss': (lambda f: rpn(loss_bbox=dict(type='GIoULoss')), ValueError, 'GIoULoss compares boxes, but WeightedRPNHead regr'),
    'objectness': (lambda f: rpn(loss_cls=dict(type='FocalLoss')), ValueError, 'has objectness targets.*got FocalLoss'),
    'one logit': (lambda f: MODELS.build(dict(type='ObjectnessLoss', use_sigmoid=False)), ValueError, 'use_sigmoid must be True'),
    'cascade': (lambda f: with_classes(dict(roi_head=dict(bbox_head=[{}])), 3), TypeError, 'single roi_head.bbox_head, got a list'),
    'part': (imagenet_without_a_part, ValueError, "The weights of vgg16 have no part 'tail'"),
    'linears': (lambda f: weights._fill_linears(nn.Sequential(nn.Linear(1, 1)), {}), ValueError, 'exactly two linear layers, Seq.* 1'),
    'arch': (lambda f: weights.preset_of('vgg17', 'caffe'), ValueError, "arch 'vgg17' are unknown; choose one of .*vgg16"),
    'arch of a file': (lambda f: weights.rename_published('vgg17', 'caffe', {}), ValueError, "arch 'vgg17'"),
    'preset of a file': (lambda f: weights.rename_published('vgg16', 'cafe', {}), ValueError, "preset 'cafe'"),
    'preset': (lambda f: weights.preset_of('vgg16', 'cafe'), ValueError, "no preset 'cafe'; choose one of .'caffe', 'torchvision'"),
    'file': (lambda f: weights.ImageNetWeights('vgg16', 'caffe', 'tail'), ValueError, 'ImageNetWeights of vgg16 needs checkpoint=FILE'),
    'permission': (load_without_permission, PermissionError, 'Not yours'),
}  # fmt: skip


@pytest.mark.parametrize('name', CASES)
def test_what_cannot_be_is_refused_with_what_was_expected(tmp_path, name):
    make, error, message = CASES[name]
    with pytest.raises(error, match=message):
        make(tmp_path)


def test_what_is_sound_is_not_refused(tmp_path):
    assert len(coco(tmp_path)) == 2 and array(tmp_path, None).tolist() == [0, 0, 0]
    for end in ('\n', '\r', '\r\n'):
        assert tags(tmp_path, 'a.csv', f'image,tags{end}{end}a,cat{end}{end}') == {'a': [0]}
    assert rpn(loss_bbox=dict(type='GIoULoss'), reg_decoded_bbox=True).reg_decoded_bbox
    check_weighted([SimpleNamespace(pos_weights=0)])


def test_a_split_of_which_no_image_can_be_read_is_refused_though_any_may_be_passed_over(toy_root, tmp_path):
    shutil.copytree(toy_root, tmp_path / 'rendered')
    dataset = DATASETS.build(toy.dataset_config(tmp_path / 'rendered', proposals=None, pipeline=toy.pipelines()[1], max_bad_images=6))
    for path in (tmp_path / 'rendered/JPEGImages').glob('train*'):
        path.write_bytes(b'')
    with pytest.raises(ValueError, match='No image of the split can be read'):
        dataset[Draw(0, 1)]
    with pytest.raises(ValueError, match='other filters are not supported, got filter_cfg=.*False'):
        DATASETS.build(toy.dataset_config(toy_root, filter_cfg=dict(filter_empty_gt=False)))
