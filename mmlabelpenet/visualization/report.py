"""The report of a training: ``report.html`` in its work dir, one file that needs no other."""

import json
import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlabelpenet.apis.checkpoint import load_strictly
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.selective_search import pairwise_iou
from mmlabelpenet.datasets.voc import VOCDevkit
from mmlabelpenet.files import atomic_write
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.registry import DATASETS, MODELS
from mmlabelpenet.structures import STAGES
from mmlabelpenet.visualization import page as html
from mmlabelpenet.visualization.curves import legend, line_chart, phase_curves, read_scalars
from mmlabelpenet.visualization.panels import panel

WIDTH = 420  # of pictures, in pixels


class Run:
    """What a work dir holds.

    Args:
        work_dir: of ``tools/train.py``.

    Raises:
        FileNotFoundError: no training or no checkpoint in it.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.folder = Path(work_dir)
        configs = sorted(self.folder.glob('*/vis_data/config.py'))
        pointer = self.folder / 'last_checkpoint'
        if not configs or not pointer.is_file():
            raise FileNotFoundError(f'{work_dir} holds no finished training (no last_checkpoint, no */vis_data/config.py). Train first.')
        self.config_text = configs[-1].read_text()
        self.config = Config.fromfile(str(configs[-1]))
        self.checkpoint = self.folder / Path(pointer.read_text().strip()).name
        self.metrics = self._json('metrics.json')
        self.steps = self._json('quickstart.json')
        paths = [self.folder / 'pseudo_labels' / f'{name}.json' for name in STAGES]
        self.stores = {path.stem: PseudoLabelStore.load(path) for path in paths if path.exists()}

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else {}

    def model(self) -> LabelPENet:
        """The trained network on the CPU, in evaluation mode."""
        init_default_scope(self.config.get('default_scope', 'mmlabelpenet'))
        model = MODELS.build(self.config.model)
        load_strictly(model, self.checkpoint)
        return model.eval()

    @property
    def seed(self) -> Any:
        """Of training."""
        return self.config.get('randomness', {}).get('seed')


def write_report(work_dir: str | Path, test_images: int = 8, train_images: int = 5) -> Path:
    """Write ``report.html``; it appears whole or not at all.

    Args:
        work_dir: of a finished training; ``metrics.json`` and ``quickstart.json`` are read where they are.
        test_images: how many images of the test split are shown.
        train_images: how many of the training split.

    Returns:
        the path of the report.

    Raises:
        FileNotFoundError: no training in the work dir, or its data are gone.
    """
    run = Run(work_dir)
    sections = [summary(run), results(run), *pictures(run, test_images, train_images), training(run), reproduction(run)]
    path = run.folder / 'report.html'
    with atomic_write(path) as file:
        file.write(html.page('Label-PEnet: from image tags to boxes and masks', '\n'.join(sections)))
    return path


def summary(run: Run) -> str:
    """What was done, and the last stage's numbers."""
    classes = ', '.join(run.config.metainfo['classes']) if 'metainfo' in run.config else ''
    data = run.config.train_dataloader.dataset
    text = (
        f'<p>Trained on the split <i>{escape(data.split)}</i> of <i>{escape(data.data_root)}</i> ({escape(classes)}) from '
        'image tags and class-free proposals. No box and no mask that a human drew was read in training; they serve to measure only.</p>'
    )
    rows = [row for stage, row in run.metrics.items() if stage != 'meta']
    if not rows:
        return text
    names = {'bbox_mAP_50_11point': 'box mAP at 0.5', 'segm_mAP_50_area': 'mask mAP at 0.5', 'mIoU': 'mIoU', 'CorLoc_50': 'CorLoc'}
    values = {f'{name}, first → last stage': [html.number(row.get(key)) for row in (rows[0], rows[-1])] for key, name in names.items()}
    return text + html.facts({name: ' → '.join(pair) for name, pair in values.items()})


def results(run: Run) -> str:
    """The table, and per class behind a click."""
    if not run.metrics:
        return '<h2>Results</h2><p class="note">Not tested: no metrics.json in the work dir.</p>'
    per_class = ''.join(html.class_table(run.metrics, key) for key in ('bbox_mAP_50_11point', 'CorLoc_50', 'segm_mAP_50_area', 'mIoU'))
    meta = run.metrics.get('meta', {})
    count = (meta.get('test') or {}).get('images', '?')
    return (
        f'<h2>Results</h2><p>In percent, on {count} test images; CorLoc on the training images. Each stage learns from the labels of the '
        'one before it. Masks of the first two stages come from their attention maps.</p>'
        f'{html.metrics_table(run.metrics)}<details><summary>Per class</summary>{per_class}</details>'
    )


def pictures(run: Run, test_images: int, train_images: int) -> list[str]:
    """The two galleries."""
    model = run.model()
    test, train = (DATASETS.build(run.config[f'{name}_dataloader'].dataset) for name in ('test', 'label'))
    unseen = [gallery(run, model, test, index, ('truth', 'prediction'), 'five') for index in spread(len(test), test_images)]
    kinds = ('input', 'attention', 'labels', 'prediction', 'truth')
    seen = [gallery(run, model, train, index, kinds) for index in spread(len(train), train_images)]
    colours = html.colour_legend(test.metainfo['classes'])
    return [
        '<h2>Test images</h2><p>Ground truth, then what each stage finds: detections from a score of 0.3 on; of the classification stage, '
        f'whose scores only rank, those from 0.3 times the best on, at most five.</p>{colours}{"".join(unseen)}',
        '<h2>Training images</h2><p>The tags that were given; where the classification stage looks for each tag (its attention after all '
        'training); the pseudo labels that each stage handed on in the cascade, with their weights w in the losses; what the stages '
        f'find in the end; and the ground truth, which training never saw.</p>{colours}{"".join(seen)}',
    ]


def gallery(run: Run, model: LabelPENet, dataset: Any, index: int, kinds: Sequence[str], name: str = '') -> str:
    """One image's row."""
    data, classes = dataset[index], dataset.metainfo['classes']
    sample = data['data_samples']
    devkit = VOCDevkit(run.config.test_evaluator.data_root, classes, run.config.test_evaluator.get('mask_classes'))
    scale = WIDTH / sample.ori_shape[1]
    tiles = panel(model, data, classes, run.stores, devkit, kinds, scale=scale)
    ordered = sorted(tiles, key=lambda tile: tile.kind != 'truth') if name == 'five' else tiles
    return html.tile_row(sample.img_id, ordered, name)


def spread(length: int, count: int) -> list[int]:
    """Indices evenly over a data set.

    >>> spread(10, 3), spread(2, 5)
    ([0, 4, 9], [0, 1])
    """
    return sorted({int(index) for index in np.linspace(0, length - 1, min(count, length)).round()})


def training(run: Run) -> str:
    """Loss curves of each phase, and what was handed on."""
    charts = []
    for name, series in phase_curves(read_scalars(run.folder), run.config.train_cfg.get('phases', [])):
        chart = line_chart(series, f'losses of phase {name}')
        charts.append(f'<div class="chart"><h3>{escape(name)}</h3>{chart}{legend(list(series))}</div>')
    return (
        '<h2>Training</h2><p>Losses over iterations, phase by phase (means over the logging window). In the recurrent phase each line is '
        f'the sum of a stage\'s losses in one direction.</p><div class="charts">{"".join(charts)}</div>{hand_overs(run)}'
    )


def hand_overs(run: Run) -> str:
    """Numbers of the pseudo-label stores, and how many of their boxes are right."""
    if not run.stores:
        return ''
    classes = run.config.train_dataloader.dataset.metainfo['classes']
    devkit = VOCDevkit(run.config.test_evaluator.data_root, classes, run.config.test_evaluator.get('mask_classes'))
    rows = []
    for name, store in run.stores.items():
        instances = [(image['img_id'], item) for image in store.content['images'] for item in store.instances(image['img_id'])]
        weights = [item['weight'] for _, item in instances]
        overlaps = [best_overlap(devkit, image_id, item) for image_id, item in instances]
        right = f'{100 * np.mean(np.array(overlaps) >= 0.5):.1f} %' if overlaps else '–'
        mean = f'{np.mean(weights):.2f}' if weights else '–'
        rows.append([name, str(len(instances)), f'{len(instances) / max(len(store), 1):.2f}', mean, right])
    table = html.simple_table(['labels of', 'instances', 'per image', 'mean weight', 'boxes on an object of their class (IoU ≥ 0.5)'], rows)
    return f'<h3>Pseudo labels handed on in the cascade</h3>{table}'


def best_overlap(devkit: VOCDevkit, image_id: str, instance: dict) -> float:
    """IoU of a pseudo instance's box with the nearest object of its class."""
    objects = devkit.objects(image_id)
    same = objects.bboxes[objects.labels == instance['bbox_label']]
    return float(pairwise_iou(np.array([instance['bbox']], np.float32), same).max(initial=0))


def reproduction(run: Run) -> str:
    """Commands, config, seed, versions and times."""
    meta = run.metrics.get('meta', {})
    source = meta.get('config') or next((str(path) for path in sorted(run.folder.glob('*.py'))), 'CONFIG')
    commands = [step['command'] for step in run.steps.values() if 'command' in step] or [
        shlex.join(['python', 'tools/train.py', source, '--work-dir', str(run.folder)]),
        shlex.join(['python', 'tools/test.py', source, str(run.checkpoint), '--corloc', '--out', str(run.folder / 'metrics.json')]),
    ]
    times = {name: f'{step["seconds"]:.0f} s' for name, step in run.steps.items() if step.get('seconds') is not None}
    facts = {
        'config': source,
        'seed': str(run.seed),
        'checkpoint': f'{run.checkpoint} (SHA-256 {meta.get("checkpoint_sha256", "not recorded")})',
        'commit': str(meta.get('commit') or 'not recorded'),
        'versions': ', '.join(f'{name} {version}' for name, version in meta.get('versions', {}).items()) or 'not recorded',
        'times': ', '.join(f'{name} {text}' for name, text in times.items()) or 'not recorded',
    }
    return (
        f'<h2>How to do it again</h2>{html.pairs(facts)}<pre class="wrap">{escape(chr(10).join(commands))}</pre>'
        f'<details><summary>The whole config</summary><pre>{escape(run.config_text)}</pre></details>'
    )
