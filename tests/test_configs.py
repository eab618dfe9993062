"""Every config can be built, and all its keys are used."""

import copy
import json
import re
from functools import cache
from pathlib import Path

import mmdet
import pytest
import standin
import torch
import toy
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner

import mmlabelpenet  # noqa: F401  registers everything
from mmlabelpenet.apis import load_config
from mmlabelpenet.apis.config import phase_lengths, planned_iterations, stage_names
from mmlabelpenet.engine.phases import locate, make_phases
from mmlabelpenet.registry import DATA_SAMPLERS, DATASETS, LOOPS, METRICS, MODELS, TRANSFORMS

ROOT = Path(__file__).resolve().parents[1]
LEAVES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/[!_]*/**/*.py') if path.parent.name != 'retrain')
ABLATIONS = [leaf for leaf in LEAVES if '/ablations/' in leaf]
RETRAIN = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/retrain/*.py'))
BUILT: dict[str, str] = {}
LOADERS = ('train_dataloader', 'label_dataloader', 'test_dataloader', 'corloc_dataloader')

RUNNER = {  # arguments of mmengine's runner, and what Runner.from_cfg and the launchers read
    *('model', 'work_dir', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg', 'test_cfg', 'auto_scale_lr'),
    *('optim_wrapper', 'param_scheduler', 'val_evaluator', 'test_evaluator', 'default_hooks', 'custom_hooks', 'data_preprocessor'),
    *('load_from', 'resume', 'launcher', 'env_cfg', 'log_processor', 'log_level', 'visualizer', 'default_scope', 'randomness'),
    *('experiment_name', 'custom_imports', 'model_wrapper_cfg'),
}
OURS = {  # key: the file that reads it, and how
    'label_dataloader': ('mmlabelpenet/engine/loops.py', 'cfg.label_dataloader'),
    'allow_test_overlap': ('mmlabelpenet/apis/overlap.py', "config.get('allow_test_overlap'"),
    'data_sources': ('mmlabelpenet/apis/inputs.py', "config.get('data_sources')"),
    'tta': ('mmlabelpenet/apis/augment.py', 'config.tta.scales'),
    'corloc_dataloader': ('mmlabelpenet/apis/test.py', 'config.corloc_dataloader'),
    'corloc_evaluator': ('mmlabelpenet/apis/test.py', 'config.corloc_evaluator'),
}
SHORTHANDS = {'metainfo'}  # a base file's own name, used in the same file


@cache
def load(leaf):
    """To be read only."""
    return load_config(ROOT / leaf)


def base_of(leaf):
    """The leaf that an ablation changes."""
    (base,) = re.findall(r"^_base_ = '(.+)'$", (ROOT / leaf).read_text(), flags=re.MULTILINE)
    return (ROOT / leaf).parent.joinpath(base).resolve().relative_to(ROOT).as_posix()


def types(node):
    """All registered names in a config, with the path to them."""
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            yield node
        for value in node.values():
            yield from types(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from types(value)


def test_there_are_configs():
    assert 'configs/labelpenet/labelpenet_lite0_rendered.py' in LEAVES


@pytest.mark.parametrize('leaf', LEAVES)
def test_every_top_level_key_is_read(leaf):
    unread = set(load(leaf)) - RUNNER - set(OURS) - SHORTHANDS
    assert not unread, f'{leaf}: nobody reads {sorted(unread)}'


@pytest.mark.parametrize(('reader', 'how'), OURS.values())
def test_our_own_keys_have_the_reader_they_claim(reader, how):
    assert how in (ROOT / reader).read_text()


@pytest.mark.parametrize('leaf', LEAVES)
def test_shorthands_reach_the_data_they_name(leaf):
    """A child that overrides a base's shorthand changes nothing; so each must still agree with what was made of it."""
    config = load(leaf)
    for name in SHORTHANDS & set(config):
        for loader in LOADERS:
            assert config[loader].dataset[name] == config[name], f'{loader}.dataset.{name} does not follow {name}'


def test_settings_of_detectors_are_read_by_mmdet():
    """Dicts without a type are nobody's arguments, so that an unread key in them would go unnoticed."""
    folder = Path(mmdet.__file__).parent
    files = [folder / 'models/detectors/two_stage.py', folder / 'structures/mask/mask_target.py']
    files += [*folder.glob('models/dense_heads/*head.py'), *folder.glob('models/roi_heads/**/*head.py')]
    source = ''.join(path.read_text() for path in files)
    keys = set()
    for leaf in LEAVES:
        for stage in filter(None, load(leaf).model.stages.values()):
            for settings in (stage.detector.train_cfg, stage.detector.test_cfg):
                keys |= {*settings, *(key for part in settings.values() if part for key in part)}
    unread = [key for key in sorted(keys) if not re.search(rf"(\.|\['|get\('){key}\b", source)]
    assert 'sampler' in keys and not unread, f'mmdet reads none of {unread}'


@pytest.mark.parametrize('leaf', LEAVES)
def test_the_model_has_as_many_classes_as_the_data(leaf):
    config = load(leaf)
    for loader in LOADERS:
        dataset = config[loader].dataset
        metainfo = dataset.get('metainfo') or DATASETS.get(dataset.type).METAINFO
        assert len(metainfo['classes']) == config.model.num_classes


@pytest.mark.parametrize('leaf', LEAVES)
def test_labels_are_made_for_the_images_that_are_trained(leaf):
    config = load(leaf)
    train, label = config.train_dataloader.dataset, config.label_dataloader.dataset
    for key in set(train) | set(label):
        if key != 'pipeline':
            assert train.get(key) == label.get(key), key
    assert not any('Flip' in node['type'] or 'Random' in node['type'] for node in types(label.pipeline))


@pytest.mark.parametrize('leaf', LEAVES)
def test_no_test_image_is_trained_on(leaf):
    config = load(leaf)
    assert config.train_dataloader.dataset.split != config.test_dataloader.dataset.split


@pytest.mark.parametrize('leaf', LEAVES)
def test_metrics_score_the_images_that_are_tested(leaf):
    config = load(leaf)
    for name in ('test', 'corloc'):
        dataset, evaluator = config[f'{name}_dataloader'].dataset, config[f'{name}_evaluator']
        assert (evaluator.data_root, evaluator.split) == (dataset.data_root, dataset.split)
        assert dataset.keep_untagged and dataset.test_mode
    assert config.corloc_dataloader.dataset.split == config.train_dataloader.dataset.split
    assert config.corloc_dataloader.dataset.proposals == config.train_dataloader.dataset.proposals


@pytest.mark.parametrize('leaf', LEAVES)
def test_proposals_are_named_by_their_data_and_list(leaf):
    files = {(config.data_root, config.split): set() for config in (load(leaf)[loader].dataset for loader in LOADERS)}
    for loader in LOADERS:
        dataset = load(leaf)[loader].dataset
        files[dataset.data_root, dataset.split].add(dataset.proposals)
    assert all(len(paths) == 1 for paths in files.values()) and len(set.union(*files.values())) == len(files)


@pytest.mark.parametrize('leaf', LEAVES)
def test_loop_sampler_metric_and_pipelines_are_registered(leaf):
    config = load(leaf)
    for registry, name in (
        (LOOPS, config.train_cfg.type),
        (DATA_SAMPLERS, config.train_dataloader.sampler.type),
        (METRICS, config.test_evaluator.type),
    ):
        assert registry.get(name) is not None, name
    for loader in LOADERS:
        for step in config[loader].dataset.pipeline:
            TRANSFORMS.build(step)


class NamesOnly(BaseModel):
    """In place of a network whose data, loops, metrics and hooks are built."""

    def __init__(self, names, num_classes):
        super().__init__()
        self.stages: dict = {}
        self.names, self.num_classes, self.weight = names, num_classes, torch.nn.Parameter(torch.zeros(1))

    def forward(self, *args, **kwargs):
        raise NotImplementedError


@pytest.mark.parametrize('leaf', [*LEAVES, *RETRAIN])
def test_everything_that_the_runner_builds_of_a_config_can_be_built(leaf, workspace, tmp_path, monkeypatch):
    config = copy.deepcopy(load(leaf))
    content = {key: value for key, value in config.to_dict().items() if key not in ('model', 'optim_wrapper', 'param_scheduler', 'tta')}
    if BUILT.setdefault(repr([list(config.model.get('stages', ())), content]), leaf) != leaf:
        return  # another leaf has the same parts
    monkeypatch.chdir(workspace)
    for variable in ('MMLABELPENET_DATA', 'MMLABELPENET_COCO', 'MMLABELPENET_MINI'):
        monkeypatch.delenv(variable, raising=False)
    toy.hurry(monkeypatch)
    monkeypatch.setattr('gc.collect', int)  # data sets call it, for a second
    config.model = NamesOnly(tuple(config.model.get('stages', ())), config.model.get('num_classes'))
    config.work_dir, config.experiment_name, config.log_level = str(tmp_path), leaf, 'ERROR'
    for name in LOADERS:
        if name in config and 'proposals' in config[name].dataset:
            standin.write_random_proposals(config[name].dataset)
    runner = Runner.from_cfg(config)
    loops = [runner.build_train_loop(config.train_cfg), runner.build_test_loop(config.test_cfg)]
    assert all(len(loop.dataloader) for loop in loops) and runner.hooks and runner.visualizer is not None
    assert isinstance(loops[1].evaluator, Evaluator) and loops[1].evaluator.metrics
    if 'corloc_evaluator' in config:
        assert runner.build_evaluator(config.corloc_evaluator).metrics[0].protocol == 'corloc'
        assert len(runner.build_dataloader(config.corloc_dataloader)) and len(runner.build_dataloader(config.label_dataloader))


@pytest.mark.parametrize('leaf', LEAVES)
def test_phases_train_stages_of_the_model(leaf):
    config = load(leaf)
    assert {name for name, phase in config.train_cfg.phases.items() if phase} == set(phase_lengths(config))


@pytest.mark.parametrize('leaf', LEAVES)
def test_the_rate_drops_in_every_later_phase_and_is_low_in_the_last(leaf):
    config = load(leaf)
    phases = make_phases(config.train_cfg.phases, stage_names(config))
    base = config.optim_wrapper.optimizer.lr
    rates = {phase.name: [phase.rate(0, base), phase.rate(phase.iters - 1, base)] for phase in phases}
    last = rates.pop('recurrent', None)
    later = list(rates.values())[1:]
    assert all((begin, end) == pytest.approx((later[0][0], later[0][0] / 10)) for begin, end in later)
    if last is not None:
        low = later[0][0] / 10 if later else 1e-4
        assert last[0] == pytest.approx(low) and last[1] in (last[0], pytest.approx(low / 10))


def rate_at(phases, iteration):
    phase, number = locate(phases, iteration)
    return phase.rate(number, 1.0)


def test_one_key_changes_the_length_of_a_phase_and_the_rates_follow():
    config = load_config(ROOT / 'configs/labelpenet/labelpenet_vgg16_voc07.py', {'train_cfg.phases.detection.iters': 100})
    phases = make_phases(config.train_cfg.phases, stage_names(config))
    assert phase_lengths(config)['detection'] == 100
    assert [rate_at(phases, iteration) for iteration in (49_999, 50_000, 50_079, 50_080, 50_099, 50_100)] == pytest.approx(
        [1e-4, 1e-3, 1e-3, 1e-4, 1e-4, 1e-3]
    )


def test_the_papers_rate_is_a_saw_tooth():
    config = load('configs/labelpenet/labelpenet_vgg16_voc07.py')
    assert phase_lengths(config) == {**dict.fromkeys(toy.STAGES, 50000), 'recurrent': 80000}
    expected = {0: 1e-3, 39999: 1e-3, 40000: 1e-4, 50000: 1e-3, 95000: 1e-4, 100000: 1e-3, 195000: 1e-4, 200000: 1e-4, 279999: 1e-4}
    phases = make_phases(config.train_cfg.phases, stage_names(config))
    assert {iteration: rate_at(phases, iteration) for iteration in expected} == pytest.approx(expected)


@pytest.mark.parametrize('name', sorted(path.stem for path in (ROOT / 'configs/_base_/models').glob('labelpenet_r[0-9]*.py')))
def test_models_of_resnet_inherit_nothing_of_another_backbone(name):
    bases = [name]
    while base := re.search(r"^_base_ = '\./(\w+)\.py'$", (ROOT / f'configs/_base_/models/{bases[-1]}.py').read_text(), flags=re.MULTILINE):
        bases.append(base[1])
    assert bases[-1] == 'labelpenet_small' and not re.search('lite0|vgg16', ' '.join(bases))


@pytest.mark.parametrize('leaf', LEAVES)
def test_every_model_builds_without_memory_and_without_download(leaf):
    config = load(leaf)
    before = config.model.to_dict()
    if BUILT.setdefault(repr(before), leaf) != leaf:
        return  # another leaf has the same model
    with torch.device('meta'):
        model = MODELS.build(config.model)
    assert model.names == stage_names(config) and config.model.to_dict() == before
    for stage in model.stages.values():
        assert stage.detector.roi_head.bbox_head.num_classes == config.model.num_classes


@pytest.mark.parametrize('leaf', ABLATIONS)
def test_an_ablation_is_named_by_its_base_and_changes_it(leaf):
    base = base_of(leaf)
    assert Path(leaf).stem.startswith(Path(base).stem.removeprefix('labelpenet_'))
    assert load(leaf).to_dict() != load(base).to_dict()


@pytest.mark.parametrize('leaf', ABLATIONS)
def test_an_ablation_says_first_which_row_section_or_page_it_is_about(leaf):
    where = r'([NCLT]\d+|Sec\. \d(\.\d)?|Table \d|docs/\w+\.md)'
    assert re.match(rf'# {where}(, {where})*: \w', (ROOT / leaf).read_text())


def test_two_ablations_of_a_base_differ():
    contents = [(base_of(leaf), str(load(leaf).to_dict())) for leaf in ABLATIONS]
    assert len(set(contents)) == len(contents)


def rows_of_choices():
    """``id -> (what else there is, names of configs)``."""
    lines = (ROOT / 'docs/choices.md').read_text(encoding='utf-8').splitlines()
    cells = [[cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]] for line in lines if re.match(r'\| [NCLT]\d+ \|', line)]
    return {row[0]: (row[4], set(re.findall(r'`(\w+)`', row[5]))) for row in cells}


def rows_of_leaves():
    """``id -> names of configs`` whose first line names the row."""
    rows = {}
    for leaf in LEAVES:
        first = re.match(r'# ([^:\n]+): ', (ROOT / leaf).read_text())
        for row in re.findall(r'\b[NCLT]\d+\b', first[1]) if first else ():
            rows.setdefault(row, set()).add(Path(leaf).stem)
    return rows


def test_each_choice_that_can_be_made_otherwise_has_a_config():
    without = {row for row, (instead, _) in rows_of_choices().items() if re.match('not offered|also reported', instead)}
    assert len(without) < 8 and set(rows_of_choices()) - without <= set(rows_of_leaves()) <= set(rows_of_choices())


def test_the_choices_name_the_configs_of_each_row_and_all_ablations():
    assert {row: names for row, (_, names) in rows_of_choices().items() if names} == rows_of_leaves()
    text = (ROOT / 'docs/choices.md').read_text(encoding='utf-8')
    assert not [leaf for leaf in ABLATIONS if f'`{Path(leaf).stem}`' not in text]


def the_config_on_the_page():
    """The block that ``docs/configs.md`` explains line by line."""
    page = (ROOT / 'docs/configs.md').read_text(encoding='utf-8')
    return re.search(r'```python\n(default_scope.*?)```', page, flags=re.DOTALL)[1]


def plain(value):
    """Tuples as lists."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def test_the_config_on_the_page_is_that_of_the_paper(monkeypatch):
    monkeypatch.delenv('MMLABELPENET_DATA', raising=False)
    names = {}
    exec(compile(the_config_on_the_page(), 'docs/configs.md', 'exec'), {}, names)
    shown = {key: plain(value) for key, value in names.items() if not key.startswith('__')}
    actual = plain(load_config(ROOT / 'configs/labelpenet/labelpenet_vgg16_voc07.py').to_dict())
    assert shown.keys() == actual.keys()
    for key in actual:
        assert shown[key] == actual[key], f'docs/configs.md tells another {key}'


def test_every_line_of_the_config_on_the_page_has_a_comment():
    lines = [line for line in the_config_on_the_page().splitlines() if line.strip(' ()[]{},') and not line.startswith('#')]
    bare = [line for line in lines if '  # ' not in line and not line.endswith(('(', '['))]
    assert len(lines) > 200 and not bare


def test_the_table_of_data_and_backbones_is_that_of_the_folder():
    page = (ROOT / 'docs/configs.md').read_text(encoding='utf-8')
    rows = [[cell.strip() for cell in line.split('|')] for line in page.splitlines() if line.endswith((' x |', ' | |'))]
    told = {f'{model}_{row[2][1:-1]}' for row in rows for model, mark in zip(('vgg16', 'r50', 'r101', 'lite0'), row[5:9]) if mark}
    models = '|'.join(('vgg16', 'r50', 'r101', 'lite0'))
    there = {m[1] for leaf in LEAVES if (m := re.fullmatch(rf'configs/labelpenet/labelpenet_((?:{models})_\w+)\.py', leaf))}
    variants = {name for name in there if name.count('_') > 1}
    assert told == there - variants


def test_the_rows_to_reproduce_are_those_of_the_paper():
    page = (ROOT / 'docs/reproduce.md').read_text(encoding='utf-8')
    rows = [[cell.strip(' `') for cell in line.split('|')[1:-1]] for line in page.splitlines() if re.match(r'\| \d \|', line)]
    server = {'2': 'bbox_mAP_50_area', '5': 'mIoU'}  # what VOC's server measures
    told = {(int(row[0]), row[1], row[2], server.get(row[0], row[4]), float(row[5])) for row in rows}
    tables = json.loads((ROOT / 'mmlabelpenet/workbench/experiments/paper_tables.json').read_text())['tables']
    own = [(table['number'], row) for table in tables for row in table['rows'] if row['own']]
    assert len(told) == len(rows)
    assert told == {(number, row['stage'], row['phase'], key, value) for number, row in own for key, value in row['values'].items()}


def test_the_last_checkpoints_to_test_are_those_of_the_schedules():
    page = (ROOT / 'docs/reproduce.md').read_text(encoding='utf-8')
    found = re.findall(r'tools/test.py (configs/\S+\.py) work_dirs/(\w+)/iter_(\d+)\.pth', page)
    assert len(found) >= 5
    for leaf, folder, iteration in found:
        assert (Path(leaf).stem, planned_iterations(load(leaf))) == (folder, int(iteration))
