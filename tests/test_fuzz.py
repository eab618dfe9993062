"""Mutated files for all readers: each is read, or rejected in one line that names it; nothing else happens.

A sample of every format is in the default tests; ``pytest -m fuzz`` reads 2,000 of each (``FUZZ_EXAMPLES`` sets another number).
"""

import csv
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import toy
from fuzzing import guarded, mutated
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from mmengine.runner import load_checkpoint
from pycocotools import mask as coco_mask
from scipy.io import savemat

from mmlabelpenet.apis import published
from mmlabelpenet.apis.checkpoint import find_checkpoint, load_strictly
from mmlabelpenet.apis.overlap import image_files
from mmlabelpenet.apis.published import describe, publish, to_state_dict
from mmlabelpenet.commands import browse, export
from mmlabelpenet.datasets.coco import read_names
from mmlabelpenet.datasets.label_writer import PseudoLabelWriter
from mmlabelpenet.datasets.proposals import ProposalFile
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.coco import COCODevkit
from mmlabelpenet.evaluation.coco_results import ResultsFile
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.formats.images import read_image, read_rgb, unusable
from mmlabelpenet.structures import pseudo_instances
from mmlabelpenet.workbench.experiments.collect import read_result
from mmlabelpenet.workbench.exports.folder import replace_files
from mmlabelpenet.workbench.exports.voc_server import check_submission
from mmlabelpenet.workbench.foreign_proposals.readers import read_foreign
from mmlabelpenet.workbench.own_data.dataset import OwnData, make_own_data
from mmlabelpenet.workbench.own_data.importing import READERS
from mmlabelpenet.workbench.own_data.tags import read_entries
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES as CLASSES

SAMPLE, WHOLE = 50, int(os.environ.get('FUZZ_EXAMPLES', 2000))
NAME = 'train_00000'


@dataclass
class Place:
    """Where a mutated file lies, and what is around it: ``kit``, a sound VOC devkit, ``root`` of all, ``out`` for what is written."""

    root: Path
    path: Path

    @property
    def kit(self):
        return self.root / 'kit'

    @property
    def out(self):
        return self.root / 'out'


@dataclass(frozen=True)
class Format:
    """A file format: where the sound file lies, how it may be mutated, what reads it, and whether errors name the file itself."""

    file: str
    kind: str
    readers: tuple[Callable[[Place], object], ...]
    named: bool = True


def kit(place):
    return VOCDevkit(place.kit, CLASSES)


def read_list(place):
    devkit = kit(place)
    return [devkit.image_path(name) for name in devkit.image_ids('train')]


def read_masks(place):
    return kit(place).instance_masks(NAME), kit(place).class_mask(NAME)


def read_coco_devkit(place):
    read_names.cache_clear()
    devkit = COCODevkit(place.root / 'coco', ('cat', 'dog'))
    for name in devkit.image_ids('val'):
        devkit.objects(name), devkit.all_boxes(name), devkit.instance_masks(name), devkit.class_mask(name)
    return devkit.tags('val', use_difficult=True), devkit.result_names('val')


def read_mmdet(place):
    return image_files(dict(data_root=str(place.root), ann_file=str(place.path.relative_to(place.root)), data_prefix=dict(img='coco/val')))


def read_results(place):
    devkit = kit(place)
    file = ResultsFile(place.path, devkit.result_names('train'), devkit.image_size)
    return [file.prediction(name) for name in devkit.image_ids('train')]


def read_store(place):
    store = PseudoLabelStore.load(place.path)
    store.check_classes(CLASSES)
    return store.content, store.digest(), store.summary(), [store.instances(name, CLASSES) for name in store.image_ids]


def export_store(kind):
    def read(place):
        words = [place.path, '--format', kind, '--images', place.kit / 'JPEGImages', '--out', place.out / kind, '--keep-empty']
        export.main(list(map(str, [*words, *(['--boxes'] if kind == 'yolo' else [])])))

    return read


def browse_store(place):
    browse.main([str(place.path), '--images', str(place.kit / 'JPEGImages'), '--out', str(place.out / 'page.html')])


def finish_store(place):
    target = place.out / 'detection.json'
    shutil.copy(place.path, place.out / 'detection.part0')
    writer = PseudoLabelWriter(target, dict(stage='detection'))
    done = writer.labelled()
    return writer.finish(sorted(done), CLASSES)


def read_proposals(place):
    file = ProposalFile(place.path)
    return [file.get(name) for name in file.image_ids]


def read_foreign_file(place):
    return read_foreign(place.path, kit(place).image_ids('train'))


def read_own_data(place):
    data = OwnData.load(place.path.parent)
    devkit = VOCDevkit(data.root, data.classes)
    return [(data.proposals(split), [devkit.image_path(name) for name in names]) for split, names in data.splits.items()]


def replace_written(place):
    shutil.copytree(place.path.parent, place.out / 'folder')
    return replace_files(place.out / 'folder', lambda folder: (folder / 'a.txt').write_text('new'))


def last_checkpoint(place):
    shutil.copy(place.path, place.out / 'iter_1.pth')
    return find_checkpoint(place.out)


def read_submission(place):
    return check_submission(place.path, VOCDevkit(place.kit, VOC_CLASSES), 'train')


FORMATS = {
    'image list': Format(
        'kit/ImageSets/Main/train.txt', 'text', (read_list, lambda p: image_files(dict(data_root=str(p.kit), split='train'))), named=False
    ),
    'class list': Format('kit/ImageSets/Main/lolly_train.txt', 'text', (lambda p: kit(p).tags('train'),)),
    'tags.csv': Format('tags.csv', 'text', (lambda p: kit(p).tags('train', p.path), lambda p: read_entries(p.path))),
    'tags.json': Format('tags.json', 'json', (lambda p: kit(p).tags('train', p.path), lambda p: read_entries(p.path))),
    'annotation': Format(
        f'kit/Annotations/{NAME}.xml',
        'text',
        (lambda p: kit(p).tags('train', 'xml'), lambda p: kit(p).objects(NAME), lambda p: kit(p).all_boxes(NAME)),
    ),
    'class image': Format(f'kit/SegmentationClass/{NAME}.png', 'bytes', (read_masks,), named=False),
    'object image': Format(f'kit/SegmentationObject/{NAME}.png', 'bytes', (read_masks,), named=False),
    'JPEG': Format(
        f'kit/JPEGImages/{NAME}.jpg',
        'bytes',
        (lambda p: kit(p).image_size(NAME), lambda p: read_rgb(p.path), lambda p: read_image(p.path), lambda p: unusable([p.path])),
    ),
    'PNG': Format('image.png', 'bytes', (lambda p: read_rgb(p.path), lambda p: read_image(p.path), lambda p: unusable([p.path]))),
    'GIF': Format('image.gif', 'bytes', (lambda p: read_rgb(p.path), lambda p: unusable([p.path]))),
    'COCO': Format(
        'coco/annotations/instances_val.json', 'json', (read_coco_devkit, read_mmdet, lambda p: read_entries(p.path)), named=False
    ),
    'results': Format('results.json', 'json', (read_results,)),
    'store': Format('store.json', 'json', (read_store, browse_store, *map(export_store, export.FORMATS)), named=False),
    'half-written store': Format('detection.part', 'text', (finish_store,), named=False),
    'proposals': Format('proposals.npz', 'bytes', (read_proposals,)),
    'proposals, first format': Format('proposals_format1.npz', 'bytes', (read_proposals,)),
    'metrics': Format('metrics.json', 'json', (lambda p: read_result(p.path),)),
    'checkpoint': Format(
        'iter_1.pth',
        'bytes',
        (
            lambda p: describe(p.path),
            lambda p: publish(p.path, p.out),
            lambda p: to_state_dict(p.path, p.out / 'state.pth'),
            lambda p: load_strictly(torch.nn.Linear(2, 3), p.path),
            lambda p: load_checkpoint(torch.nn.Linear(2, 3), str(p.path)),
        ),
    ),
    'legacy checkpoint': Format('legacy.pth', 'bytes', (lambda p: describe(p.path), lambda p: to_state_dict(p.path, p.out / 'state.pth'))),
    'own_data.json': Format('own/own_data.json', 'json', (read_own_data,), named=False),
    'receipt': Format('written/written.sha256', 'text', (replace_written,), named=False),
    'foreign proposals, JSON': Format('foreign.json', 'json', (read_foreign_file,)),
    'foreign proposals, NumPy': Format('foreign.npz', 'bytes', (read_foreign_file,)),
    'foreign proposals, MATLAB': Format('foreign.mat', 'bytes', (read_foreign_file,)),
    'LabelMe': Format('labelme/a.json', 'json', (lambda p: READERS['labelme'](p.path.parent),)),
    'COCO labels': Format('labels/train.json', 'json', (lambda p: READERS['coco'](p.path.parent),), named=False),
    'submission': Format('submission.tgz', 'bytes', (read_submission,), named=False),
    'submission, unpacked': Format('submission.tar', 'bytes', (read_submission,), named=False),
}


@pytest.fixture(scope='module')
def sound(toy_root, tmp_path_factory):
    """A sound file of each format, and what is around it."""
    root = tmp_path_factory.mktemp('fuzz')
    shutil.copytree(toy_root, root / 'kit')
    write_tags(root)
    write_images(root)
    write_coco(root)
    write_labels(root)
    write_tensors(root)
    shutil.copy(toy_root.parent / 'train.npz', root / 'proposals.npz')
    shutil.copy(Path(__file__).parent / 'data/proposals_format1.npz', root)
    for folder in ('written', 'out'):
        (root / folder).mkdir()
    replace_files(root / 'written', lambda folder: [(folder / f'{name}.txt').write_text(name) for name in 'ab'])
    return root


def write_tags(root):
    tags = VOCDevkit(root / 'kit', CLASSES).tags('train')
    named = {name: [CLASSES[label] for label in labels] for name, labels in tags.items()}
    (root / 'tags.json').write_text(json.dumps(named))
    text = io.StringIO()
    csv.writer(text).writerows([('image', 'tags'), *((name, ';'.join(names)) for name, names in named.items())])
    (root / 'tags.csv').write_text(text.getvalue())
    make_own_data(root / 'own', root / 'kit/JPEGImages', root / 'tags.json', skip=True)


def write_images(root):
    image = cv2.imread(str(root / f'kit/JPEGImages/{NAME}.jpg'))
    cv2.imwrite(str(root / 'image.png'), image)
    cv2.imwrite(str(root / 'image.gif'), image)
    lines = [f'{NAME} 0.5 1 2 30 40']
    for name, mode in (('submission.tgz', 'w:gz'), ('submission.tar', 'w')):
        with tarfile.open(root / name, mode) as archive:
            for class_name in VOC_CLASSES:
                member = tarfile.TarInfo(f'results/VOC2012/Main/comp4_det_train_{class_name}.txt')
                content = '\n'.join(lines).encode()
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def write_coco(root):
    (root / 'coco/annotations').mkdir(parents=True)
    (root / 'coco/val/day').mkdir(parents=True)
    for name in ('day/1.jpg', 'day/2.jpg'):
        cv2.imwrite(str(root / 'coco/val' / name), np.zeros((40, 50, 3), np.uint8))
    boxes = dict(bbox=[5, 5, 9, 9], area=81, iscrowd=0)
    notes = [
        dict(id=1, image_id=1, category_id=3, segmentation=[[5, 5, 14, 5, 14, 14]], **boxes),
        dict(id=2, image_id=2, category_id=4, segmentation=code(np.ones((40, 50), bool)), **boxes),
        dict(id=3, image_id=2, category_id=3, segmentation=dict(size=[40, 50], counts=[100, 400, 1500]), **boxes),
    ]
    images = [dict(id=k, file_name=f'day/{k}.jpg', height=40, width=50) for k in (1, 2)]
    content = dict(images=images, annotations=notes, categories=[dict(id=3, name='cat'), dict(id=4, name='dog')])
    (root / 'coco/annotations/instances_val.json').write_text(json.dumps(content))
    (root / 'labels').mkdir()
    (root / 'labels/train.json').write_text(json.dumps(content))
    shape = dict(label='cat', points=[[1, 1], [9, 1], [9, 9]], shape_type='polygon', flags={}, group_id=None)
    box = dict(label='dog', points=[[1, 1], [9, 9]], shape_type='rectangle')
    file = dict(version='5', shapes=[shape, box], imagePath='a.jpg', imageData=None, imageHeight=40, imageWidth=50)
    (root / 'labelme').mkdir()
    (root / 'labelme/a.json').write_text(json.dumps(file))


def code(mask):
    found = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=[int(side) for side in found['size']], counts=found['counts'].decode())


def write_labels(root):
    devkit = VOCDevkit(root / 'kit', CLASSES)
    names = devkit.image_ids('train')[:3]
    masks = np.zeros((2, toy.HEIGHT, toy.WIDTH), bool)
    masks[0, 5:20, 6:40], masks[1, 30:60, 20:90] = True, True
    boxes = torch.tensor([[6.0, 5, 40, 20], [20, 30, 90, 60]])
    for finished in (False, True):
        writer = PseudoLabelWriter(root / ('store.json' if finished else 'detection.json'), dict(stage='detection'))
        for name in names:
            pseudo = pseudo_instances(boxes, torch.tensor([0, 2]), masks, torch.tensor([0.5, 1.0]))
            writer.add(name, f'{name}.jpg', masks.shape[1:], pseudo, devkit.image_path(name))
        if finished:
            writer.finish(names, CLASSES)
    (root / 'detection.part0').rename(root / 'detection.part')
    entry = dict(category_id=1, score=0.5, bbox=[6, 5, 34, 15], segmentation=code(masks[0]))
    (root / 'results.json').write_text(json.dumps([dict(entry, image_id=name, id=k) for k, name in enumerate(names)]))
    row = dict(bbox_mAP_50_area=1.5, mIoU=None, per_class=dict(bbox_mAP_50_area=dict(lolly=1.5, cone=None)))
    test = dict(split='test', protocol='test', images=3)
    (root / 'metrics.json').write_text(json.dumps(dict(detection=row, meta=dict(config='a.py', seed=1, iterations=4, test=test))))
    rows = np.array([[1, 2, 30, 40, 0.5], [5, 6, 50, 60, 0.25]])
    images = devkit.image_ids('train')
    (root / 'foreign.json').write_text(json.dumps({name: rows.tolist() for name in images}))
    np.savez(root / 'foreign.npz', **{name: rows for name in images})
    cells = np.empty((1, len(images)), object)
    cells[0] = [rows] * len(images)
    savemat(root / 'foreign.mat', dict(boxes=cells, images=np.array(images, object)))


def write_tensors(root):
    config = 'train_cfg = dict(phases=dict(classification=dict(iters=3)))'
    meta = dict(iter=1, epoch=0, seed=3, cfg=config, dataset_meta=dict(classes=CLASSES), experiment_name='a', versions=dict(torch='2'))
    content = dict(state_dict=torch.nn.Linear(2, 3).state_dict(), meta=meta, message_hub=dict(log_scalars={}), optimizer=dict(state={}))
    torch.save(content, root / 'iter_1.pth')
    torch.save(content, root / 'legacy.pth', _use_new_zipfile_serialization=False)


def check(sound, name, content, tell=note):
    """Read a mutated file in all ways; ``tell`` gets the messages of those that are refused."""
    place = Place(sound, sound / FORMATS[name].file)
    whole = place.path.read_bytes()
    files = listed(sound)
    try:
        place.path.write_bytes(content)
        for reader in FORMATS[name].readers:
            try:
                with emptied(place.out), guarded(place.out) as done:
                    reader(place)
            except (ValueError, OSError) as error:  # what a command ends with one line for
                message = str(error)
                tell(f'{type(error).__name__}: {message[:300]}')
                assert message.count('\n') <= 1 and len(message) < 4000, message[:4000]
                assert place.path.name in message or not FORMATS[name].named, message[:300]
            assert not done
    finally:
        place.path.write_bytes(whole)
    assert listed(sound) == files


def listed(root):
    """All files and folders below a folder."""
    return {os.path.join(path, name) for path, folders, files in os.walk(root) for name in (*folders, *files)}


@contextmanager
def emptied(folder):
    """Remove what has been written to a folder. Making and removing the folder for each of thousands of files takes longer."""
    try:
        yield
    finally:
        if any(folder.iterdir()):
            shutil.rmtree(folder)
            folder.mkdir()


@pytest.fixture(autouse=True)
def _no_git(monkeypatch):
    """The guard takes any process for one that a file asks for."""
    monkeypatch.setattr(published, 'git_commit', lambda: None)


def run(sound, name, examples):
    content = (sound / FORMATS[name].file).read_bytes()

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    @given(st.just(content) | mutated(content, FORMATS[name].kind))
    def test(mutation):
        check(sound, name, mutation)

    test()


@pytest.mark.parametrize('name', FORMATS)
def test_a_sound_file_is_read_in_all_ways(sound, name):
    place = Place(sound, sound / FORMATS[name].file)
    for reader in FORMATS[name].readers:
        with emptied(place.out):
            reader(place)


@pytest.mark.parametrize('name', FORMATS)
def test_a_mutated_file_is_read_or_refused_in_one_line_and_nothing_else_happens(sound, name, capsys):
    run(sound, name, SAMPLE)


@pytest.mark.fuzz
@pytest.mark.parametrize('name', FORMATS)
def test_many_mutated_files_are_read_or_refused_in_one_line_and_nothing_else_happens(sound, name, capsys):
    run(sound, name, WHOLE)


def test_the_guard_sees_what_a_reader_may_not_do(tmp_path):
    (tmp_path / 'out').mkdir()
    with guarded(tmp_path / 'out') as done:
        (tmp_path / 'out/a.txt').write_text('may be')
        (tmp_path / 'b.txt').write_text('may not be')
        (tmp_path / 'b.txt').unlink()
        os.system('true')
    assert len(done) == 3 and [line.split()[0] for line in done] == ['open', 'os.remove', 'os.system']
