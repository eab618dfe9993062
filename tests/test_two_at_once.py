"""Commands that write to a path: while one is running, a second one is rejected in one line, and nothing changes.

Trainings and dumps are in ``tests/test_apis``. Commands that are not listed write one file atomically, so both may run.
"""

import json
import shutil
from types import SimpleNamespace

import pytest

from mmlabelpenet import predict
from mmlabelpenet.commands import export, own_data, selective_search
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.files import locked
from mmlabelpenet.workbench.experiments.generator_comparison import compare_generators
from mmlabelpenet.workbench.exports.folder import replace_files
from mmlabelpenet.workbench.join_voc import join_devkits
from mmlabelpenet.workbench.own_data.dataset import make_own_data
from mmlabelpenet.workbench.own_data.importing import import_labels
from mmlabelpenet.workbench.quickstart import __main__ as quickstart
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES, render_dataset
from mmlabelpenet.workbench.supervision.labels_from_annotations import labels_from_annotations


@pytest.fixture(scope='module')
def sound(toy_root, tmp_path_factory):
    """A devkit, an own data set and labels of it."""
    root = tmp_path_factory.mktemp('two')
    shutil.copytree(toy_root, root / 'kit')
    images = sorted(path.name for path in (root / 'kit/JPEGImages').glob('*.jpg'))
    (root / 'tags.json').write_text(json.dumps({name: ['cat', 'dog'] for name in images}))
    make_own_data(root / 'own', root / 'kit/JPEGImages', root / 'tags.json', test_share=0)
    (root / 'own/proposals').mkdir()
    (root / 'own/proposals/train.npz').touch()
    own_data.main(['train', str(root / 'own'), '--write-only'])
    shapes = [dict(label='cat', points=[[1, 1], [9, 9]], shape_type='rectangle')]
    (root / 'corrected').mkdir()
    content = dict(shapes=shapes, imagePath=images[0], imageHeight=96, imageWidth=128)
    (root / 'corrected/a.json').write_text(json.dumps(content))
    image = dict(id=1, img_id=images[0][:-4], file_name=images[0], height=96, width=128)
    note = dict(id=1, image_id=1, category_id=1, bbox=[1, 1, 9, 9], area=0, segmentation=[], iscrowd=0, weight=0.5)
    (root / 'labels.json').write_text(json.dumps(dict(info={}, images=[image], annotations=[note], categories=[dict(id=1, name='cat')])))
    return root


class _Inferencer:
    """One that is never asked: the place is taken."""

    def __init__(self, *args, **kwargs):
        self.stages, self.classes, self.checkpoint = ('segmentation',), ('cat', 'dog'), __file__


def _predict(root, place):
    images = root / 'kit/JPEGImages'
    predict.predict(predict.parse_args([str(images), '--model', 'm', '--out', str(place)]))


def _export(root, place):
    export.main([str(root / 'labels.json'), '--format', 'coco', '--images', str(root / 'kit/JPEGImages'), '--out', str(place)])


COMMANDS = {  # what is given, and the place that it writes
    'selective_search.py': (lambda root, place: selective_search.main([f'{root}/kit', 'train', str(place)]), 'p.npz'),
    'own_data.py init': (lambda root, place: make_own_data(place, root / 'kit/JPEGImages', root / 'tags.json'), 'new'),
    'own_data.py proposals': (lambda root, place: own_data.main(['proposals', str(root / 'own')]), 'own/proposals/train.npz'),
    'own_data.py train': (
        lambda root, place: own_data.main(['train', str(root / 'own'), '--cfg-options', f'work_dir={place}']),
        'own/work_dir',
    ),
    'own_data.py export': (lambda root, place: own_data.main(['export', str(root / 'own'), '--format', 'coco']), 'own/labels.json'),
    'own_data.py import': (lambda root, place: import_labels(root / 'own', root / 'corrected'), 'own'),
    'export_pseudo_labels.py': (_export, 'out'),
    'predict': (_predict, 'out'),
    'render_voc.py': (lambda root, place: render_dataset(place), 'rendered'),
    'join_voc.py': (lambda root, place: join_devkits([root / 'kit'], place, 'train', 'test'), 'joined'),
    'quickstart': (lambda root, place: quickstart.main(['--work-dir', str(place.parent)]), 'quick/quickstart.json'),
    'compare_generators.py': (
        lambda root, place: compare_generators([SimpleNamespace(filename='a.py')], ['a.pth'], 'detection', place),
        'out',
    ),
    'labels_from_annotations.py': (
        lambda root, place: labels_from_annotations(VOCDevkit(root / 'kit', RENDERED_CLASSES), 'train', place),
        'labels.json',
    ),
    'a folder of files': (lambda root, place: replace_files(place, lambda folder: 1 / 0), 'out'),
}


@pytest.mark.parametrize('name', COMMANDS)
def test_the_second_of_two_is_refused_in_one_line_and_changes_nothing(sound, tmp_path, monkeypatch, name):
    monkeypatch.setattr('mmlabelpenet.apis.LabelPENetInferencer', _Inferencer)
    monkeypatch.setattr('mmlabelpenet.workbench.quickstart.__main__.signal.signal', lambda *args: None)
    root = shutil.copytree(sound, tmp_path / 'root')
    command, place = COMMANDS[name]
    with locked(root / place):
        before = sorted(root.rglob('*'))
        with pytest.raises(ValueError, match=r'is being written by .*, since .*\. Wait until it has finished, or choose another place\.$'):
            command(root, root / place)
        assert sorted(root.rglob('*')) == before
