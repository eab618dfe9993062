"""The data and the network of the training."""

import numpy as np
import pytest
import toy

from mmlabelpenet.datasets.proposals import ProposalFile
from mmlabelpenet.workbench.gpu_check import training
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings
from mmlabelpenet.workbench.quickstart import rendered


@pytest.fixture
def notes(tmp_path):
    return Notebook(tmp_path / 'found.json')


def test_windows_lie_in_the_image_and_differ_in_size():
    boxes = training.windows(120, 160)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= (160, 120)).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    assert len({tuple(box[2:] - box[:2]) for box in boxes}) >= 12


def test_proposals_are_those_of_one_process_when_all_processors_search(tmp_path, monkeypatch):
    monkeypatch.setattr(rendered, 'RenderSettings', lambda **_: toy.SETTINGS)
    monkeypatch.setattr('os.sched_getaffinity', lambda _: {0, 1})
    for name, small in (('one', True), ('two', False)):
        training.render(tmp_path / name, small)
    for split in ('train', 'test'):
        one, two = (ProposalFile(tmp_path / name / f'proposals/{split}.npz') for name in ('one', 'two'))
        assert one.image_ids == two.image_ids and len(one.image_ids) == {'train': 6, 'test': 2}[split]
        for image_id in one.image_ids:
            np.testing.assert_array_equal(one.get(image_id)[0], two.get(image_id)[0])
            assert len(one.get(image_id)[0])


def test_a_devkit_gets_resnet_where_its_weights_are(tmp_path, notes, monkeypatch):
    monkeypatch.delenv('MMLABELPENET_DATA', raising=False)
    (root := tmp_path / 'VOCdevkit/VOC').joinpath('ImageSets/Main').mkdir(parents=True)
    for split in ('val', 'train'):
        (root / f'ImageSets/Main/{split}.txt').touch()
    monkeypatch.setattr('os.sched_getaffinity', lambda _: set(range(12)))
    path, options = training.chosen_config(Settings('cuda', str(tmp_path), str(root)), notes)
    assert [options[f'{loader}_dataloader.num_workers'] for loader in ('train', 'label', 'test')] == [6, 12, 2]
    assert path.name == 'labelpenet_lite0_voc12mini.py'
    assert options['test_dataloader.dataset.proposals'] == str(root / 'proposals/val.npz') and options['corloc_evaluator.split'] == 'train'
    (tmp_path / 'weights').mkdir()
    (tmp_path / 'weights/resnet50_caffe_imagenet_fp16.pth').touch()
    path, _ = training.chosen_config(Settings('cuda', str(tmp_path), str(root)), notes)
    assert path.name == 'labelpenet_r50_voc12mini.py'
