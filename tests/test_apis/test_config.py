"""Reading configs."""

import copy
from pathlib import Path

import pytest
from mmengine.config import Config

from mmlabelpenet.apis import load_config, parse_options
from mmlabelpenet.apis.config import build_model, config_devkit, stage_names
from mmlabelpenet.apis.published import keep_stages
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/labelpenet'


def test_a_config_writes_itself_without_yapf_and_reads_back_as_it_was(monkeypatch, tmp_path):
    config = load_config(CONFIGS / 'labelpenet_lite0_rendered.py', {'randomness.seed': 7})
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda *args, **kwargs: pytest.fail('formatted'))
    (tmp_path / 'dumped.py').write_text(config.pretty_text)
    dumped = Config.fromfile(str(tmp_path / 'dumped.py'))
    assert dumped.to_dict() == config.to_dict() and dumped.randomness.seed == 7


def test_a_hook_set_to_none_is_off(tmp_path):
    (tmp_path / 'leaf.py').write_text(
        "_base_ = 'mmlabelpenet::labelpenet/labelpenet_lite0_rendered.py'\ndefault_hooks = dict(health=None)\n"
    )
    config = load_config(tmp_path / 'leaf.py', {'default_hooks.sample_panels': None, 'default_hooks.checkpoint': None})
    assert not {'health', 'sample_panels'} & set(config.default_hooks) and 'progress' in config.default_hooks
    assert config.default_hooks.checkpoint is None  # mmengine has one of its own
    assert load_config(tmp_path / 'leaf.py', dict(default_hooks=None)).default_hooks is None


def test_a_config_that_is_not_there_is_named_with_the_nearest_one(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'labelpenet_lite0_rendred.py does not exist. Did you mean .*labelpenet_lite0_rendered.py\?'
    ):
        load_config(CONFIGS / 'labelpenet_lite0_rendred.py')
    with pytest.raises(FileNotFoundError, match='Configs are in configs/'):
        load_config(tmp_path / 'a.py')


@pytest.mark.parametrize(
    ('leaf', 'error'),
    [
        ("_base_ = 'root.py'\nb = 1", r'root.py:2: NameError: name .unknown. is not defined'),
        ("_base_ = 'fine.py'\n\nb = _base_.c", r"leaf.py:3: AttributeError: .* has no attribute 'c'"),
        ("_base_ = 'fine.py'\na = dict(x=dict(y=1))", r'leaf.py: TypeError: .*You may set `_delete_=True`'),
        ("_base_ = ['fine.py', 'again.py']", r'leaf.py: KeyError: .*Duplicate keys'),
        (
            "custom_imports = dict(imports=['no_such_module'], allow_failed_imports=False)",
            r'leaf.py: Failed to import no_such_module.*PYTHONPATH',
        ),
        ('with open("a") as file:\n    a = 1', 'leaf.py: not a config: Only `read_base` context manager can be used in the config.$'),
        ('from PIL import Image\nimport os, re\na = 1', r'leaf.py: not a config: import multiple modules in one line is not supported.$'),
        ('a = 1\nraise AssertionError', r'leaf.py:2: AssertionError$'),
        ("a = 1\nraise EOFError('b')", r'leaf.py:2: EOFError: b$'),
        ('a = 1\nexit(2)', r'leaf.py:2: SystemExit: 2$'),
    ],
)
def test_a_config_that_cannot_be_read_is_one_line_with_file_and_place(tmp_path, monkeypatch, leaf, error):
    monkeypatch.chdir(tmp_path)
    for name, text in dict(leaf=leaf, root='a = 1\nb = unknown', fine='a = dict(x=[1])', again='a = 2').items():
        (tmp_path / f'{name}.py').write_text(text)
    with pytest.raises(ValueError, match=error) as raised:
        load_config('leaf.py')
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(('name', 'content'), [('a.json', '[1]'), ('a.yaml', '- b'), ('a.yml', ''), ('a.json', '3')])
def test_a_file_without_names_is_not_a_config(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f'{name} is not a config: it contains no names with values.'):
        load_config(tmp_path / name)


def test_a_missing_part_is_named_with_the_file_and_is_missing_as_in_any_dict(tmp_path):
    (tmp_path / 'a.py').write_text('b = 1')
    config = copy.deepcopy(load_config(tmp_path / 'a.py'))
    for read in (lambda: config.model, lambda: config['model'], lambda: build_model(config), lambda: config_devkit(config)):
        with pytest.raises(ValueError, match='a.py is not a config for this: it has no (model|train_dataloader).'):
            read()
    assert not hasattr(config, 'model') and config.get('model') is None and 'model' not in config and config.pop('model', 2) == 2


@pytest.mark.parametrize(
    ('option', 'expected'),
    [
        ('optim_wrapper.optimizer.lr=abc', 'a number instead of 0.01'),
        ('randomness.seed=abc', 'a number'),
        ('train_dataloader.batch_size=two', 'a number'),
        ('model.stages.detection.detector.backbone.frozen=maybe', 'true or false instead of True'),
        ('model.stages.detection.detector.backbone.frozen=7', 'true or false instead of True'),
        ('train_dataloader.batch_size=true', 'a number instead of 2'),
        ('optim_wrapper.optimizer.lr=nan', 'a number instead of 0.01'),
        ('optim_wrapper.optimizer.lr=0,001', 'a number instead of 0.01'),
    ],
)
def test_nothing_else_takes_the_place_of_a_number_or_a_switch(tmp_path, option, expected):
    (tmp_path / 'a.py').write_text(
        'optim_wrapper = dict(optimizer=dict(lr=0.01))\nrandomness = dict(seed=0)\ntrain_dataloader = dict(batch_size=2)\n'
        'model = dict(stages=dict(detection=dict(detector=dict(backbone=dict(frozen=True)))))'
    )
    key, right = option.split('=')[0], False if 'frozen' in option else 7
    with pytest.raises(ValueError, match=f'The option {key}=.+ does not fit the config: expected {expected}'):
        load_config(tmp_path / 'a.py', parse_options([option]))
    assert load_config(tmp_path / 'a.py', {key: None}).to_dict() != load_config(tmp_path / 'a.py', {key: right}).to_dict()


def test_a_whole_number_in_scientific_notation_stays_whole(tmp_path):
    (tmp_path / 'a.py').write_text('iters = 50\nlr = 1.0\nboth = [1, 2.0]')
    config = load_config(tmp_path / 'a.py', parse_options(['iters=1e3', 'lr=1e3', 'both.0=2.5', 'both.1=2']))
    assert [type(value) for value in (config.iters, config.lr, *config.both)] == [int, float, float, int] and config.iters == 1000


def test_an_option_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r'The option custom_hooks.9.type=1 does not fit the config'):
        load_config(CONFIGS / 'labelpenet_lite0_rendered.py', {'custom_hooks': [dict(type='EMAHook')], 'custom_hooks.9.type': 1})


@pytest.mark.parametrize('value', [3, 'abc', True, 0.5])
def test_a_number_or_text_does_not_take_the_place_of_a_dict(tmp_path, value):
    (tmp_path / 'a.py').write_text('hooks = [dict(timer=dict(type="Timer", interval=1))]')
    with pytest.raises(
        ValueError, match='hooks.0.timer=.* does not fit the config: expected a dict or null instead of a dict with type, int'
    ):
        load_config(tmp_path / 'a.py', {'hooks.0.timer': value})
    assert load_config(tmp_path / 'a.py', {'hooks.0.timer': None}).hooks == [dict(timer=None)]


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({'x.0.y': 3}, dict(x=[dict(y=3), dict(z=[1, 2])])),
        ({'x.0': None}, dict(x=[None, dict(z=[1, 2])])),
        ({'x.1.z': 3}, dict(x=[dict(y=1), dict(z=3)])),
        ({'x.1.z.0': 9}, dict(x=[dict(y=1), dict(z=[9, 2])])),
        ({'t.1.a': 9}, dict(t=(1, dict(a=9)))),
        ({'d': dict(b=9)}, dict(d=dict(a=1, b=9))),
        ({'d': dict(_delete_=True, b=9)}, dict(d=dict(b=9))),
        ({'d.new.deep': 9}, dict(d=dict(a=1, b=2, new=dict(deep=9)))),
        ({'fresh.deep': 9}, dict(fresh=dict(deep=9))),
        ({'n': dict(a=1)}, dict(n=dict(a=1))),
    ],
)
def test_an_option_reaches_into_dicts_lists_and_tuples(tmp_path, options, expected):
    (tmp_path / 'a.py').write_text('x = [dict(y=1), dict(z=[1, 2])]\nt = (1, dict(a=1))\nd = dict(a=1, b=2)\nn = None\n')
    config, before = load_config(tmp_path / 'a.py', options), load_config(tmp_path / 'a.py')
    assert config.to_dict() == before.to_dict() | expected
    assert Config.fromstring(config.pretty_text, '.py').to_dict() == config.to_dict()


@pytest.mark.parametrize('option', ['x.5.y', 'x.-1.y', 'n.a', 'd.a.b', 'x.first'])
def test_an_option_beside_the_config_is_one_line(tmp_path, option):
    (tmp_path / 'a.py').write_text('x = [dict(y=1)]\nd = dict(a=1)\nn = None\n')
    with pytest.raises(ValueError, match=f'The option {option}=1 does not fit the config') as raised:
        load_config(tmp_path / 'a.py', {option: 1})
    assert '\n' not in str(raised.value)


def test_the_devkit_of_a_loader_has_its_classes_and_those_of_its_masks(toy_root):
    dataset = dict(data_root=str(toy_root), split='train', metainfo=dict(classes=('tree', 'kite')))
    evaluator = [dict(type='DumpResults'), dict(type='StageMetric', mask_classes=RENDERED_CLASSES)]
    config = Config(dict(train_dataloader=dict(dataset=dataset), corloc_evaluator=evaluator))
    devkit = config_devkit(config)
    assert (devkit.classes, devkit.mask_classes) == (('tree', 'kite'), RENDERED_CLASSES)


def test_a_loader_of_another_data_set_has_no_devkit():
    config = Config(dict(train_dataloader=dict(dataset=dict(type='mmdet.CocoDataset', data_root='data/coco'))))
    with pytest.raises(ValueError, match='train_dataloader.dataset is a mmdet.CocoDataset'):
        config_devkit(config)


@pytest.mark.parametrize('key', ['map_evidence', 'test_cfg.image_evidence'])
def test_the_stage_of_the_tags_cannot_be_left_out_where_all_others_need_it(key):
    config = load_config(CONFIGS / 'labelpenet_lite0_rendered.py', {f'model.{key}': True})
    assert stage_names(keep_stages(config, ['classification', 'segmentation'])) == ('classification', 'segmentation')
    with pytest.raises(ValueError, match=f'only segmentation, but model.{key} .* needs classification: .*--stages classification segm'):
        keep_stages(config, ['segmentation'])
