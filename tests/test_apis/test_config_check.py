"""Spelling errors in a config are found before anything is built."""

import re
from pathlib import Path

import pytest
import torch
import toy
import warm
from mmengine.config import Config

from mmlabelpenet.apis import load_config, train
from mmlabelpenet.apis.config_check import check_config

ROOT = Path(__file__).resolve().parents[2]
LEAVES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/[!_]*/**/*.py'))
RENDERED = 'configs/labelpenet/labelpenet_lite0_rendered.py'
FAULTS = [  # what a leaf adds, the path of the key, what is said about it, the nearest right name
    ('train_dataloder = dict(batch_size=2)', 'train_dataloder', 'no code reads this key', 'train_dataloader'),
    ('resum = True', 'resum', 'no code reads this key', 'resume'),
    ("log_level = 'info'", 'log_level', "'info' is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL", 'INFO'),
    ("default_scope = 'mmlabelpnet'", 'default_scope', "'mmlabelpnet' is not one of mmlabelpenet, mmdet, mmengine", 'mmlabelpenet'),
    ('randomness = dict(seeed=1)', 'randomness.seeed', 'no code reads this key', 'seed'),
    ('train_dataloader = dict(batch_sise=2)', 'train_dataloader.batch_sise', 'no code reads this key', 'batch_size'),
    ("model = dict(type='LabelPENett')", 'model.type', "nothing is registered as 'LabelPENett'", 'LabelPENet'),
    ('model = dict(frozen_backbon=True)', 'model.frozen_backbon', 'LabelPENet has no such argument', 'frozen_backbone'),
    ('model = dict(test_cfg=dict(max_mask=1))', 'model.test_cfg.max_mask', 'no code reads this key', 'max_masks'),
    ('model = dict(stages=dict(detection=dict(label={})))', 'model.stages.detection.label', 'no code reads this key', 'labels'),
    (
        "model = dict(stages=dict(detection=dict(detector=dict(type='mmdet.FasterRCN'))))",
        'model.stages.detection.detector.type',
        "nothing is registered as 'mmdet.FasterRCN'",
        'mmdet.FasterRCNN',
    ),
    (
        "train_dataloader = dict(dataset=dict(type='voctags'))",
        'train_dataloader.dataset.type',
        "nothing is registered as 'voctags'",
        'VOCTags',
    ),
    (
        "train_dataloader = dict(dataset=dict(type='mmdet.VOCTags'))",
        'train_dataloader.dataset.type',
        "nothing is registered as 'mmdet.VOCTags'",
        'mmlabelpenet.VOCTags',
    ),
    (
        "model = dict(stages=dict(detection=dict(detector=dict(type='mdet.FasterRCNN'))))",
        'model.stages.detection.detector.type',
        "nothing is registered as 'mdet.FasterRCNN'",
        'mmdet.FasterRCNN',
    ),
    (
        'model = dict(stages=dict(detection=dict(detector=dict(rpn_head=dict(feat_chanels=1)))))',
        'model.stages.detection.detector.rpn_head.feat_chanels',
        'WeightedRPNHead has no such argument',
        'feat_channels',
    ),
    (
        'model = dict(stages=dict(detection=dict(detector=dict(test_cfg=dict(rcnn=dict(score_thrr=0.1))))))',
        'model.stages.detection.detector.test_cfg.rcnn.score_thrr',
        'no code reads this key',
        'score_thr',
    ),
    (
        'model = dict(stages=dict(detection=dict(labels=dict(crf=dict(_delete_=True, iteration=1)))))',
        'model.stages.detection.labels.crf.iteration',
        'no code reads this key',
        'iterations',
    ),
    ('train_cfg = dict(phases=dict(detection=dict(iter=5)))', 'train_cfg.phases.detection.iter', 'no code reads this key', 'iters'),
    ('train_cfg = dict(val_intervall=5)', 'train_cfg.val_intervall', 'LabelPropagationLoop has no such argument', 'val_interval'),
    (
        'default_hooks = dict(checkpoint=dict(intervall=5))',
        'default_hooks.checkpoint.intervall',
        'AtomicCheckpointHook has no such argument',
        'interval',
    ),
    (
        "label_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImageFromFil')]))",
        'label_dataloader.dataset.pipeline.0.type',
        "nothing is registered as 'LoadImageFromFil'",
        'LoadImageFromFile',
    ),
    (
        "label_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomChoiceResize', scale_list=[(1, 1)])]))",
        'label_dataloader.dataset.pipeline.0.scale_list',
        'RandomChoiceResize has no such argument',
        'scales',
    ),
    (
        'optim_wrapper = dict(optimizer=dict(learning_rate=1))',
        'optim_wrapper.optimizer.learning_rate',
        'AdamW has no such argument',
        '',
    ),
]


@pytest.mark.parametrize(('text', 'key', 'what', 'near'), FAULTS, ids=[fault[1] for fault in FAULTS])
def test_one_line_names_file_key_and_the_nearest_right_name(tmp_path, monkeypatch, text, key, what, near):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'leaf.py').write_text(f'_base_ = {str(ROOT / RENDERED)!r}\n{text}\n')
    with pytest.raises(ValueError) as raised:
        check_config(load_config('leaf.py'))
    lines = [line for line in str(raised.value).splitlines() if near in line]  # a renamed class takes other arguments too
    expected = f'leaf.py:2: {key}: {what}.' + (f' Did you mean {near!r}?' if near else '')
    assert expected in lines and (len(lines) == 1 or key.endswith('type'))


@pytest.mark.parametrize(
    ('key', 'value', 'expected'),
    [
        ('label_dataloader.batch_size', None, 'a whole number from 1 on'),
        ('label_dataloader.num_workers', 1.5, 'a whole number from 0 on'),
        ('train_dataloader.batch_size', 0, 'a whole number from 1 on'),
        ('train_dataloader.num_workers', -1, 'a whole number from 0 on'),
        ('optim_wrapper.accumulative_counts', None, 'a whole number from 1 on'),
        ('optim_wrapper.optimizer.lr', None, 'a number from 0 on'),
        ('optim_wrapper.optimizer.lr', float('inf'), 'a finite number'),
        ('optim_wrapper.optimizer.weight_decay', float('nan'), 'a finite number'),
        ('optim_wrapper.optimizer.betas', (0.9, float('nan')), 'finite numbers'),
        ('optim_wrapper.optimizer', None, 'a dict'),
        ('optim_wrapper.clip_grad.max_norm', -1, 'a finite number above 0'),
        ('optim_wrapper.clip_grad.max_norm', 0, 'a finite number above 0'),
        ('optim_wrapper.clip_grad.max_norm', float('nan'), 'a finite number above 0'),
        ('optim_wrapper.clip_grad.max_norm', float('inf'), 'a finite number above 0'),
        ('optim_wrapper.clip_grad', dict(_delete_=True, type='value', clip_value=0), 'a finite number above 0'),
        ('optim_wrapper.paramwise_cfg', dict(norm_decay_mult='0'), 'a number from 0 on'),
        ('optim_wrapper.paramwise_cfg', dict(custom_keys=dict(backbone=dict(lr_mult=-1))), 'a number from 0 on'),
        ('optim_wrapper.paramwise_cfg', dict(custom_keys=dict(backbone=0.1)), r'a dict such as dict\(lr_mult=0.1\)'),
        ('optim_wrapper.paramwise_cfg', dict(custom_keys=5), 'a dict'),
        ('auto_scale_lr', dict(base_batch_size=0), 'a finite number above 0'),
        ('train_cfg.val_interval', None, 'a whole number from 1 on'),
        ('train_cfg.phases.classification.gamma', float('nan'), 'a number'),
        ('train_cfg.phases.classification.lr', float('inf'), 'a finite number'),
        ('train_cfg.phases.classification.milestones', [float('nan')], 'a list of whole numbers or numbers'),
        ('train_cfg.phases.classification.milestones', [float('inf')], 'finite numbers'),
        ('train_cfg.phases.detection.pseudo_labels', 3, 'a text or None'),
        ('train_cfg.phases.detection.iters', 'ten', 'a whole number'),
        ('model.num_classes', -1, 'a whole number from 1 on'),
        ('load_from', 3, 'a text or None'),
        ('log_level', None, 'one of DEBUG, INFO, WARNING, ERROR, CRITICAL'),
        ('model.stages', None, 'a dict of stages'),
        ('optim_wrapper.paramwise_cfg', dict(custom_keys=None), 'a dict'),
    ],
)
def test_numbers_that_the_runner_needs_are_numbers(key, value, expected):
    config = load_config(ROOT / RENDERED)
    config.merge_from_dict({key: value})
    with pytest.raises(ValueError, match=rf'{key}[\w.]*: expected {expected}, got ') as raised:
        check_config(config)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('part', ['', '.roi_head', '.backbone', '.roi_head.bbox_head'])
@pytest.mark.parametrize('value', [None, {}])
def test_a_stage_without_a_part_that_it_needs_is_refused(part, value):
    config = load_config(ROOT / RENDERED)
    config.merge_from_dict({f'model.stages.detection.detector{part}': None if value is None else dict(_delete_=True)})
    with pytest.raises(ValueError, match=rf'model.stages.detection.detector{part}: expected a dict with a type, got (None|\{{\}}).$'):
        check_config(config)


@pytest.mark.parametrize('loader', ['train_dataloader', 'label_dataloader', 'test_dataloader', 'corloc_dataloader'])
def test_a_loader_without_a_data_set_is_refused(loader):
    config = load_config(ROOT / RENDERED)
    del config[loader]['dataset']
    with pytest.raises(ValueError, match=rf'{loader}: has no dataset: expected {loader}=dict\(dataset='):
        check_config(config)


def test_clipping_can_be_switched_off_and_may_use_the_maximum_norm():
    check_config(load_config(ROOT / RENDERED, {'optim_wrapper.clip_grad': None}))
    check_config(load_config(ROOT / RENDERED, {'optim_wrapper.clip_grad.norm_type': float('inf')}))
    with pytest.raises(ValueError, match='got -1. Set clip_grad=None to switch it off.$'):
        check_config(load_config(ROOT / RENDERED, {'optim_wrapper.clip_grad.max_norm': -1}))


def test_hooks_are_a_list():
    with pytest.raises(ValueError, match="custom_hooks: expected a list of dicts, got {'type': 'EMAHook'}.$"):
        load_config(ROOT / RENDERED, {'custom_hooks': dict(type='EMAHook')})


@pytest.mark.parametrize('key', ['model', 'train_dataloader', 'val_cfg', 'default_hooks', 'randomness'])
def test_what_is_to_be_a_dict_and_is_not_is_named(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'leaf.py').write_text(f'\n{key} = 3\n')
    with pytest.raises(ValueError, match=f'^leaf.py:2: {key}: expected a dict, got 3.$'):
        check_config(load_config('leaf.py'))


@pytest.mark.parametrize('leaf', LEAVES)
def test_no_config_of_the_project_is_refused(leaf):
    check_config(load_config(ROOT / leaf))


def test_custom_keys_take_arguments_of_the_optimizer_and_no_others(toy_root, tmp_path):
    config = toy.run_config(toy_root, tmp_path, [('classification', 1)])
    config.optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=0.1),
        paramwise_cfg=dict(custom_keys={'fc_cls': dict(lr_mult=10, eps=1.0, betas=(0.9, 0.99))}),
    )
    check_config(config)
    config.optim_wrapper.optimizer.type = 'SGD'
    with pytest.raises(ValueError, match=r'fc_cls\.eps: no code reads this key'):
        check_config(config)


@pytest.mark.parametrize(
    ('key', 'value', 'wanted'),
    [
        ('train_dataloader.dataset.use_difficult_tags', 'false', 'True or False'),
        ('train_dataloader.dataset.max_proposals', '300', 'a whole number or None'),
        ('train_dataloader.dataset.max_proposals', 1.5, 'a whole number or None'),
        ('train_dataloader.dataset.max_proposals', True, 'a whole number or None'),
        ('train_dataloader.dataset.min_proposal_area', float('nan'), 'a number'),
        ('train_dataloader.dataset.split', 2007, 'a text'),
        ('model.share_tail', 'no', 'True or False'),
        ('model.refresh_interval', 0.5, 'a whole number'),
        ('model.stages.classification.labels.nms_thr', '0.3', 'a number'),
        ('model.test_cfg.with_masks', 'yes', 'True or False'),
        ('model.test_cfg.crf.iterations', 2.5, 'a whole number'),
        ('default_hooks.checkpoint.minutes', 'ten', 'a number or None'),
        ('model.recompute', 'backbone', 'a list of texts or None'),
        ('model.recompute', [1], 'a list of texts or None'),
        ('model.refresh_interval', [1], 'a whole number'),
        ('model.test_cfg.stages', 'detection', 'a list of texts or None'),
        ('model.stages.classification.detector.roi_head.bbox_head.fc_channels', 5, 'a list of whole numbers'),
        ('model.feature_cache.dir', 3, 'a text'),
        ('model.feature_cache.max_gib', None, 'a number'),
    ],
)
def test_a_value_of_another_type_than_an_argument_takes_is_named(toy_root, tmp_path, key, value, wanted):
    config = toy.run_config(toy_root, tmp_path, [('classification', 1)])
    config.model.feature_cache = dict(dir=str(tmp_path))
    node = config
    for step in key.split('.')[:-1]:
        node = node[step]
    node[key.rpartition('.')[2]] = value
    with pytest.raises(ValueError, match=re.escape(f'{key}: expected {wanted}, got {value!r}.')):
        check_config(config)


def test_a_whole_number_and_none_pass_where_they_fit(toy_root, tmp_path):
    config = toy.run_config(toy_root, tmp_path, [('classification', 1)])
    config.train_dataloader.dataset.update(min_proposal_area=0, max_proposals=None, tags='xml')
    config.default_hooks.checkpoint.minutes = 5
    check_config(config)


def test_a_fault_of_a_base_names_the_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'base.py').write_text(f'_base_ = {str(ROOT / RENDERED)!r}\n\nmodel = dict(num_clases=3)\n')
    (tmp_path / 'leaf.py').write_text("_base_ = 'base.py'\nmodel = dict(num_classes=3)\n")
    with pytest.raises(ValueError, match=r"^base.py:3: model.num_clases: LabelPENet has no such argument. Did you mean 'num_classes'\?$"):
        check_config(load_config('leaf.py'))


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ({'model.share_tails': True}, r"model.share_tails: .*Did you mean 'share_tail'\?"),
        ({'train_dataloader.sampler.seed': 'abc'}, "train_dataloader.sampler.seed: expected a whole number or None, got 'abc'."),
        ({'model.num_classes': 4.5}, 'model.num_classes: expected a whole number, got 4.5.'),
        ({'model.feature_cache': dict(dirr='x')}, "model.feature_cache.dirr: no code reads this key. Did you mean 'dir'."),
        ({'tta.scale': 2}, "tta.scale: no code reads this key. Did you mean 'scales'."),
        ({'test_evaluator.collect_device': 'tpu'}, "test_evaluator.collect_device: 'tpu' is not one of cpu, gpu."),
    ],
)
def test_an_error_of_an_option_names_no_line_of_a_file(monkeypatch, option, said):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match=rf'^--cfg-options: {said}$'):
        check_config(load_config(RENDERED, option))


def test_an_error_beside_an_option_names_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'leaf.py').write_text(f'_base_ = {str(ROOT / RENDERED)!r}\nmodel = dict(num_clases=3)\n')
    with pytest.raises(ValueError, match='^leaf.py:2: model.num_clases: '):
        check_config(load_config('leaf.py', {'model.num_classes': 4}))


def test_several_faults_are_told_at_once():
    with pytest.raises(ValueError) as raised:
        check_config(Config(dict(randomness=dict(seeed=1), train_dataloader=dict(batchsize=1))))
    assert len(str(raised.value).splitlines()) == 2


def test_a_crf_may_start_from_a_preset():
    crf = dict(_delete_=True, preset='small', backend='torch')
    config = load_config(ROOT / RENDERED, {'model.stages.detection.labels.crf': crf})
    check_config(config)
    assert config.model.stages.detection.labels.crf == dict(preset='small', backend='torch')


@pytest.mark.parametrize('cut', [dict(type='SuperpixelCut', size=6), None])
def test_a_cut_is_named_by_its_type(cut):
    config = load_config(ROOT / RENDERED)
    config.model.test_cfg.cut = config.model.stages.detection.labels.cut = cut
    check_config(config)
    config.model.test_cfg.cut = dict(type='SuperpixelCat')
    with pytest.raises(ValueError, match="nothing is registered as 'SuperpixelCat'.*SuperpixelCut"):
        check_config(config)


def test_shorthands_of_the_files_pass_and_names_that_nobody_uses_do_not(tmp_path):
    base = f'_base_ = {str(ROOT / RENDERED)!r}\n'
    (tmp_path / 'used.py').write_text(
        f"{base}folder = 'x'\nmy_size = 2\ntrain_dataloader = dict(dataset=dict(data_root=folder), batch_size=my_size)\n"
    )
    check_config(load_config(tmp_path / 'used.py'))
    (tmp_path / 'unused.py').write_text(f'{base}my_folder = "somewhere"\n')
    with pytest.raises(ValueError, match='unused.py:2: my_folder: no code reads this key.$'):
        check_config(load_config(tmp_path / 'unused.py'))


@pytest.mark.parametrize('leaf', [RENDERED, 'configs/oicr/oicr_vgg16_voc07.py', 'configs/retrain/rtmdet-ins_s_voc07.py'])
def test_a_config_that_was_written_out_passes_again(tmp_path, leaf):
    (tmp_path / 'dumped.py').write_text(load_config(ROOT / leaf).pretty_text)
    check_config(load_config(tmp_path / 'dumped.py'))


def test_a_name_that_a_base_has_for_its_children_passes_unless_it_is_nearly_one_that_is_read(tmp_path):
    for name, right in dict(my_crop=True, test_evaluatr=False).items():
        (tmp_path / 'base.py').write_text(f"_base_ = {str(ROOT / RENDERED)!r}\n{name} = dict(mine='here')\n")
        (tmp_path / 'leaf.py').write_text("_base_ = 'base.py'\n")
        if right:
            check_config(load_config(tmp_path / 'leaf.py'))
        else:
            with pytest.raises(ValueError, match="base.py:2: test_evaluatr: no code reads this key. Did you mean 'test_evaluator'"):
                check_config(load_config(tmp_path / 'leaf.py'))


def test_what_a_config_of_another_package_says_passes_and_what_a_leaf_adds_to_it_does_not(tmp_path):
    base = "_base_ = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'\n"  # gives its head strides that nobody reads
    (tmp_path / 'leaf.py').write_text(base)
    check_config(load_config(tmp_path / 'leaf.py'))
    (tmp_path / 'leaf.py').write_text(f'{base}model = dict(panoptic_head=dict(feat_chanels=1))\n')
    with pytest.raises(ValueError, match="leaf.py:2: model.panoptic_head.feat_chanels: .*Did you mean 'feat_channels'"):
        check_config(load_config(tmp_path / 'leaf.py'))


def test_a_class_that_a_user_registers_or_names_by_its_place_is_known(tmp_path):
    config = load_config(ROOT / RENDERED)
    config.model.backbone = dict(type='ToyBackbone')  # registered by the toy network
    config.custom_hooks = [dict(type='mmengine.hooks.EMAHook', momentum=0.1)]
    check_config(config)
    config.custom_hooks = [dict(type='mmengine.hooks.EMAHok')]
    with pytest.raises(ValueError, match='custom_hooks.0.type: nothing is registered'):
        check_config(config)


def test_the_configs_of_the_toy_network_pass(toy_root, tmp_path):
    check_config(toy.run_config(toy_root, tmp_path, [('classification', 1)]))


@pytest.mark.parametrize('key', ['model', 'train_dataloader', 'train_cfg', 'optim_wrapper'])
def test_a_part_that_is_none_is_missing(toy_root, tmp_path, key):
    toy.write_config(tmp_path / 'toy.py', toy_root)
    with pytest.raises(ValueError, match=f'toy.py is not a config for training: it has no {key}'):
        train(load_config(tmp_path / 'toy.py', {key: None, 'work_dir': str(tmp_path)}))


def test_training_refuses_before_it_builds(toy_root, tmp_path):
    config = toy.run_config(toy_root, tmp_path, [('classification', 1)])
    config.model.frozen_backbones = True
    with pytest.raises(ValueError, match="model.frozen_backbones: LabelPENet has no such argument. Did you mean 'frozen_backbone'"):
        train(config)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize('tool', ['tools/train.py', 'tools/test.py'])
def test_tools_end_with_the_one_line(tool):
    result = warm.run(ROOT / tool, RENDERED, *(['none.pth'] if 'test' in tool else []), '--cfg-options', 'model.num_clases=3')
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "Error: --cfg-options: model.num_clases: LabelPENet has no such argument. Did you mean 'num_classes'?"
    )
    assert 'Traceback' not in result.stderr


def test_checking_is_cheap_for_it_builds_nothing(monkeypatch):
    def built(*args, **kwargs):
        raise AssertionError('checking a config built a part of the network')

    config = load_config(ROOT / RENDERED)
    monkeypatch.setattr(torch.nn.Module, '__init__', built)
    check_config(config)
