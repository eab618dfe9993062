"""The complete workflow of a user for a config of each kind, command by command, on small data in its official layout.

Proposals, an iteration of each phase, a kill, resuming, testing, predictions in a file, the archive for VOC's server and its check, the
score of the file, report and trace.
"""

import json
import re
import time
from pathlib import Path

import pytest
import small

from mmlabelpenet.apis import load_config
from mmlabelpenet.apis.config import config_classes, last_checkpoint, phase_lengths
from mmlabelpenet.apis.evaluators import stage_metric
from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.devkit import open_devkit

OF_PAPER = ('voc07', 'voc12', 'voc12masks', 'voc0712', 'coco17')
LEAVES = [
    *(f'labelpenet/labelpenet_{backbone}_{data}' for data in OF_PAPER for backbone in ('lite0', 'r50', 'r101', 'vgg16')),
    *(f'labelpenet/labelpenet_{name}' for name in ('lite0_rendered', 'lite0_voc12val', 'lite0_animals', 'r50_animals', 'r50_voc12mini')),
    *(f'{method}/{method}_{name}' for method in ('wsddn', 'oicr', 'pcl') for name in ('lite0_animals', 'r50_voc12mini', 'vgg16_voc07')),
    'oicr/oicr_vgg16_voc12',
    *(leaf.removeprefix('configs/')[:-3] for leaf in small.LEAVES if small.is_retrained(leaf)),
]


class Way:
    """The commands of one config.

    Args:
        terminal: see :class:`documented.Terminal`.
        name: of the config, below ``configs``.
    """

    def __init__(self, terminal, name):
        self.terminal, self.path = terminal, f'configs/{name}.py'
        config = small.small_config(self.path)
        config.default_hooks.checkpoint.interval = 1
        if 'phases' not in config.train_cfg:
            config.train_cfg.update({key: 2 for key in ('max_epochs', 'max_iters') if key in config.train_cfg})
        elif len(phase_lengths(config)) == 1:
            config.train_cfg.phases.classification.iters = 2  # there must be something to resume
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        config.dump(self.path)
        self.config = load_config(self.path)
        self.folder = Path('work_dirs', Path(self.path).stem)
        self.last = last_checkpoint(load_config(self.path, dict(work_dir=str(self.folder))))
        metric = stage_metric(self.config.test_evaluator)
        self.root, self.split = metric.data_root, metric.split  # what is tested
        self.classes = config_classes(self.config.train_dataloader.dataset) or open_devkit(self.root).classes
        self.annotated = (Path(self.root).name, self.split) != ('VOC2012', 'test')  # else they are on VOC's server

    def make_proposals(self):
        datasets = [self.config[key].dataset for key in ('train_dataloader', 'test_dataloader')]
        for dataset in {dataset.proposals: dataset for dataset in datasets if 'proposals' in dataset}.values():
            search = 'python tools/dataset_converters/selective_search.py'
            self.terminal.run(f'{search} {dataset.data_root} {dataset.split} {dataset.proposals} --min-size 8 --workers 1')
            assert Path(dataset.proposals).is_file()

    def train(self):
        """Kill the training after its first checkpoint, then resume it."""
        first = self.folder / re.sub(r'\d+', '1', self.last.name)
        process = self.terminal.start(f'python tools/train.py {self.path}')
        while process.is_alive() and not first.exists():
            time.sleep(0.02)
        process.kill()
        process.join()
        assert first.exists() and not self.last.exists(), self.terminal.output.read_text()[-4000:]
        output = self.terminal.run(f'python tools/train.py {self.path} --resume')
        assert 'resumed' in output and self.last.is_file()

    def test(self):
        """The table, without what it is about."""
        corloc = '--corloc' if 'corloc_dataloader' in self.config else ''
        self.terminal.run(f'python tools/test.py {self.path} {self.last} {corloc} --out {self.folder}/metrics.json --dump results.json')
        table = json.loads((self.folder / 'metrics.json').read_text())
        return {stage: row for stage, row in table.items() if stage != 'meta'}

    def submit(self, results, masks):
        """Pack results for VOC's server: of its segmentation lists as masks where there are any."""
        competition = 'comp6' if self.split.startswith('Segmentation') and masks else 'comp4'
        year = '--year VOC2012' if Path(self.root).name not in ('VOC2007', 'VOC2012') else ''
        submission = 'python tools/analysis_tools/voc_submission.py'
        self.terminal.run(f'{submission} write {competition} {self.root} {self.split} {results} results.tar.gz {year}')
        self.terminal.run(f'{submission} check results.tar.gz {self.root} {self.split}')

    def score(self, results):
        """What the file of predictions is worth."""
        classes = ' '.join(f"'{name}'" for name in self.classes)
        tool = 'python tools/analysis_tools/eval_predictions.py'
        self.terminal.run(f'{tool} {self.root} {self.split} {results} --out scored.json --classes {classes}')
        return json.loads(Path('scored.json').read_text())['predictions']

    def look(self):
        """Report and trace."""
        self.terminal.run(f'python tools/analysis_tools/report.py {self.folder} --test-images 1 --train-images 1')
        dataset = self.config.train_dataloader.dataset
        image = open_devkit(dataset.data_root, ()).image_ids(dataset.split)[0]
        self.terminal.run(f'python tools/analysis_tools/trace.py {self.path} {self.last} {image} --out trace.html')
        assert 'Training images' in (self.folder / 'report.html').read_text() and Path('trace.html').is_file()


@pytest.mark.slow
@pytest.mark.parametrize('name', LEAVES)
def test_a_config_of_each_kind_goes_the_whole_way(terminal, name):
    way = Way(terminal, name)
    way.make_proposals()
    way.train()
    table = way.test()
    last = list(table)[-1]
    results = 'results.json' if len(table) == 1 else f'results.{last}.json'
    assert (table[last]['bbox_mAP_50_area'] is not None) == way.annotated
    if set(way.classes) == set(VOC_CLASSES):
        way.submit(results, masks=not way.path.startswith('configs/retrain/faster-rcnn'))
    if way.annotated:
        row, keys = way.score(results), ['bbox_mAP_50_area', 'segm_mAP_50_area']
        for key in (
            keys if json.loads(Path(results).read_text()) else keys[:1]
        ):  # a file without an entry does not say whether it is of masks
            assert row[key] == table[last][key], key
    if not small.is_retrained(way.path):
        way.look()


def test_every_family_has_a_leaf_of_each_of_its_backbones():
    named = re.compile(r'configs/(\w+)/(?:labelpenet|wsddn|oicr|pcl)_(vgg16|r50|r101|lite0)_(\w+)\.py')
    families = {found.groups() for found in map(named.fullmatch, small.LEAVES) if found}
    gone = {found.groups() for found in (named.fullmatch(f'configs/{name}.py') for name in LEAVES) if found}
    for method, backbone, data in families:
        if method != 'labelpenet' or data not in OF_PAPER:  # other lists and settings of the same data
            assert any((method, backbone) == other[:2] for other in gone), (method, backbone)
        else:
            assert (method, backbone, data) in gone
    assert {leaf for leaf in small.LEAVES if small.is_retrained(leaf)} <= {f'configs/{name}.py' for name in LEAVES}
