"""Pages of a toy training, with plain names and with names that contain markup."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import toy
from mmengine.registry import init_default_scope
from page_checks import ATTACK, CLASSES, IMAGE

from mmlabelpenet.datasets.label_writer import PseudoLabelWriter
from mmlabelpenet.datasets.proposals import ProposalFile, ProposalRecord
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.structures import pseudo_instances
from mmlabelpenet.workbench.proposal_writer import write_proposals
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES
from mmlabelpenet.workbench.report.browser import write_browser
from mmlabelpenet.workbench.report.page import write_page
from mmlabelpenet.workbench.report.report import write_report
from mmlabelpenet.workbench.report.run import Run
from mmlabelpenet.workbench.report.trace import trace


@pytest.fixture(scope='session')
def work_dir(toy_root, tmp_path_factory):
    """A toy training, tested with made-up numbers."""
    init_default_scope('mmlabelpenet')
    folder = tmp_path_factory.mktemp('reported')
    config = toy.run_config(toy_root, folder, [(name, 2) for name in (*toy.STAGES, 'recurrent')], interval=10)
    config.default_hooks.logger = dict(type='LoggerHook', interval=1)
    test = toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True)
    config.test_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=test)
    config.test_evaluator = dict(type='StageMetric', data_root=str(toy_root), split='test', mask_classes=RENDERED_CLASSES)
    config.test_cfg = dict(type='TestLoop')
    with pytest.MonkeyPatch.context() as patch:
        toy.hurry(patch)
        toy.build_runner(config).train()
    row = {'bbox_mAP_50_11point': 61.25, 'segm_mAP_50_area': None, 'mIoU': 12.5, 'per_class': {'mIoU': {'lolly': 12.5, 'cone': None}}}
    about = {'config': 'some & config.py', 'test': {'images': 2}, 'versions': {'torch': '9'}}
    (folder / 'metrics.json').write_text(json.dumps({stage: row for stage in toy.STAGES} | {'meta': about}))
    return folder


@pytest.fixture(scope='session')
def stores(toy_root, tmp_path_factory):
    """Labels of two stages: the objects themselves, and the objects moved by ten pixels."""
    folder, devkit = tmp_path_factory.mktemp('pseudo_labels'), VOCDevkit(toy_root, RENDERED_CLASSES)
    names = devkit.image_ids('train')
    for shift, stage in ((10, 'classification'), (0, 'detection')):
        writer = PseudoLabelWriter(folder / f'{stage}.json', dict(stage=stage))
        for k, name in enumerate(names):
            objects = devkit.objects(name)
            boxes = torch.as_tensor(objects.bboxes) + shift
            masks = np.zeros((len(boxes), toy.HEIGHT, toy.WIDTH), bool)
            for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
                mask[y1:y2, x1:x2] = True
            weights = torch.full((len(boxes),), 0.1 + 0.1 * ((k * 7) % 6))
            pseudo = pseudo_instances(boxes, torch.as_tensor(objects.labels), masks, weights)
            writer.add(name, devkit.image_path(name).name, (toy.HEIGHT, toy.WIDTH), pseudo)
        writer.finish(names, RENDERED_CLASSES)
    return folder


@pytest.fixture(scope='session')
def labels_page(stores, toy_root, tmp_path_factory):
    """The page of both stages' labels."""
    devkit = VOCDevkit(toy_root, RENDERED_CLASSES)
    loaded = {stage: PseudoLabelStore.load(stores / f'{stage}.json') for stage in ('classification', 'detection')}
    out = tmp_path_factory.mktemp('page') / 'browse.html'
    return write_browser(out, loaded, toy_root / 'JPEGImages', devkit, devkit.tags('train', 'xml'), width=200)


@pytest.fixture(scope='session')
def hostile_pages(work_dir, toy_root, tmp_path_factory):
    """Report, browser and trace where every name is an attack."""
    return write_pages(work_dir, toy_root, tmp_path_factory.mktemp('hostile'), CLASSES, IMAGE, ATTACK)


@pytest.fixture(scope='session')
def plain_pages(work_dir, toy_root, tmp_path_factory):
    """The same pages with plain names."""
    return write_pages(work_dir, toy_root, tmp_path_factory.mktemp('plain'), ('a', 'b', 'c', 'd'), 'image', 'text')


def write_pages(work_dir: Path, toy_root: Path, folder: Path, classes: tuple[str, ...], image: str, text: str) -> dict[str, Path]:
    """Rename classes and images of a training and its data, put ``text`` for every other text, and write all pages."""
    data, run = folder / 'data', folder / 'run'
    renamed_data(toy_root, data, classes, image)
    shutil.copytree(work_dir, run)
    config = next(run.glob('*/vis_data/config.py'))
    config.write_text(
        config.read_text()
        + f"""
for loader in (train_dataloader, label_dataloader, test_dataloader):
    split = loader['dataset']['split']
    loader['dataset'].update(data_root={str(data)!r}, tags={str(data)!r} + f'/{{split}}.json', proposals={str(data)!r} + f'/{{split}}.npz')
    loader['dataset']['metainfo'] = dict(classes={classes!r})
del loader, split
test_evaluator.update(data_root={str(data)!r}, mask_classes={classes!r})
""",
        encoding='utf-8',
    )
    for path in (run / 'pseudo_labels').glob('*.json'):
        content = json.loads(path.read_text())
        for entry in content['images']:
            entry.update(img_id=image + entry['img_id'], file_name=image + entry['file_name'], sha256=None)
        for category, name in zip(content['categories'], classes, strict=True):
            category['name'] = name
        path.write_text(json.dumps(content))
    row = {'bbox_mAP_50_11point': 61.25, 'mIoU': None, 'per_class': {'mIoU': dict.fromkeys(classes, 3.0)}}
    about = dict(config=text, test=dict(images=text), versions={text: text}, commit=text, checkpoint_sha256=text)
    (run / 'metrics.json').write_text(json.dumps({text: row, 'segmentation': row, 'meta': about}))
    steps = {text: dict(command=text, seconds=1), 'train': dict(command=text, seconds=3)}
    (run / 'quickstart.json').write_text(json.dumps(steps))
    return dict(report=write_report(run, 1, 1), **_other_pages(Run(run), folder, data, classes))


def _other_pages(run: Run, folder: Path, data: Path, classes: tuple[str, ...]) -> dict[str, Path]:
    devkit = VOCDevkit(data, classes)
    labels = write_browser(folder / 'browse.html', run.stores, data / 'JPEGImages', devkit, devkit.tags('train', data / 'train.json'))
    sample = DATASETS.build(run.config.label_dataloader.dataset)[0]
    title, rows = f'Trace of {sample["data_samples"].img_id}', trace(run.model(), sample, classes, devkit)
    return dict(labels=labels, trace=write_page(folder / 'trace.html', 'trace.html', title=title, classes=classes, rows=rows))


def renamed_data(toy_root: Path, data: Path, classes: tuple[str, ...], image: str) -> None:
    """A copy of the toy data with other names of classes and images."""
    for kind in ('JPEGImages', 'Annotations', 'SegmentationObject', 'SegmentationClass'):
        (data / kind).mkdir(parents=True)
        for path in (toy_root / kind).iterdir():
            shutil.copy(path, data / kind / (image + path.name))
    for path in (data / 'Annotations').iterdir():
        tree = ElementTree.parse(path)
        for element in tree.iter('object'):
            element.find('name').text = classes[RENDERED_CLASSES.index(element.findtext('name'))]
        tree.write(path, encoding='utf-8')
    (data / 'ImageSets/Main').mkdir(parents=True)
    old = VOCDevkit(toy_root, RENDERED_CLASSES)
    for split in ('train', 'test'):
        tags = old.tags(split, 'xml')
        (data / f'ImageSets/Main/{split}.txt').write_text(''.join(f'{image}{name}\n' for name in tags), encoding='utf-8')
        (data / f'{split}.json').write_text(json.dumps({image + name: [classes[k] for k in labels] for name, labels in tags.items()}))
        proposals = ProposalFile(toy_root.parent / f'{split}.npz')
        records = [ProposalRecord(image + name, (toy.HEIGHT, toy.WIDTH), *proposals.get(name)) for name in tags]
        write_proposals(data / f'{split}.npz', records, {})
