"""Names that differ in MMDetection are rejected with one line that says what to write instead."""

import re
from pathlib import Path

import pytest

from mmlabelpenet.apis import load_config
from mmlabelpenet.apis.config_check import check_config
from mmlabelpenet.commands import test as test_command
from mmlabelpenet.commands import train as train_command
from mmlabelpenet.mmdet_words import FLAGS
from mmlabelpenet.options import parse_options

ROOT = Path(__file__).resolve().parents[1]
RENDERED = ROOT / 'configs/labelpenet/labelpenet_lite0_rendered.py'
ANIMALS = ROOT / 'configs/labelpenet/labelpenet_lite0_animals.py'


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('model.roi_head.bbox_head.num_classes=4', 'model.stages.<name>.detector.roi_head'),
        ('model.neck.type=FPN', 'model.stages.<name>.detector.neck'),
        ('model.test_cfg.rcnn.score_thr=0.5', 'model.stages.<name>.detector.test_cfg.rcnn'),
        ('model.pretrained=x.pth', 'model.backbone.init_cfg'),
        ('train_cfg.max_epochs=12', 'train_cfg.phases.<name>.iters'),
        ('train_cfg.by_epoch=true', 'counts iterations'),
        ('train_dataloader.samples_per_gpu=2', 'Write batch_size.'),
        ('train_dataloader.workers_per_gpu=2', 'Write num_workers.'),
        ('test_evaluator.classwise=true', '--out FILE.json'),
        ('test_evaluator.outfile_prefix=x', '--dump FILE.json'),
        ('test_evaluator.ann_file=x.json', 'data_root and split'),
        ('optimizer.lr=0.1', 'optim_wrapper.optimizer'),
        ('lr_config.policy=step', 'train_cfg.phases.<name>'),
        ('data.samples_per_gpu=2', 'train_dataloader, label_dataloader and test_dataloader'),
        ('total_epochs=12', 'train_cfg.phases.<name>.iters'),
        ('evaluation.interval=1', 'train_cfg.val_interval'),
        ('seed=0', 'randomness.seed'),
        ('device=cuda', 'CUDA_VISIBLE_DEVICES'),
        ('find_unused_parameters=true', 'model_wrapper_cfg.find_unused_parameters'),
        ('strategy.type=FSDPStrategy', "mmengine's Runner"),
        ('runner_type=FlexibleRunner', "'FlexibleRunner' is not one of Runner"),
        ('compile=true', 'FastLayersHook'),
        ('default_scope=mmdet', "'mmlabelpenet'"),
        ('default_hooks.visualisation.draw=true', "a hook needs a type. Did you mean 'visualization'?"),
        ('optim_wrapper.paramwise_cfg.bias_lr_multi=2', "no code reads this key. Did you mean 'bias_lr_mult'?"),
        ('optim_wrapper.clip_grad.maxnorm=35', "no code reads this key. Did you mean 'max_norm'?"),
        ('optim_wrapper.clip_grad.type=value', 'optim_wrapper.clip_grad.max_norm: no code reads this key.'),
        ('optim_wrapper.constructor=DefaultOptimWraperConstructor', "Did you mean 'DefaultOptimWrapperConstructor'?"),
        ('optim_wrapper.constructor=LearningRateDecayOptimizerConstructor', 'supports only ConvNeXt: use paramwise_cfg.custom_keys'),
        ('optim_wrapper.type=ApexOptimWrapper', 'ApexOptimWrapper is not supported. Train with --amp.'),
        ('env_cfg.mp_cfg.opencv_num_thread=4', "no code reads this key. Did you mean 'opencv_num_threads'?"),
        ('env_cfg.mp_cfg.mp_start_method=forks', "'forks' is not one of fork, spawn, forkserver. Did you mean 'fork'?"),
        ('env_cfg=none', 'env_cfg: expected a dict, got None'),
        ('randomness=none', 'randomness: expected a dict, got None'),
        ('randomness.seed=1.5', 'randomness.seed: expected a whole number from 0 to 4294967295, or None, got 1.5'),
        ('randomness.seed=-1', 'randomness.seed: expected a whole number'),
        ('train_dataloader.dataset.backend_args=none', 'Remove it: images, tags and proposals are read from local disks.'),
        ("optim_wrapper.paramwise_cfg={'custom_keys': {'backbone': {'lr_multi': 2}}}", "Did you mean 'lr_mult'?"),
    ],
)
def test_a_key_of_mmdetection_is_refused_with_what_to_write(option, said):
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        check_config(load_config(RENDERED, parse_options([option])))
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize('option', ['sync_bn=torch', 'activation_checkpointing=[backbone]', 'efficient_conv_bn_eval=[backbone]'])
def test_keys_that_the_runner_of_mmengine_reads_pass(option):
    check_config(load_config(RENDERED, parse_options([option])))


def test_what_a_base_leaves_in_a_part_of_another_type_is_told_with_the_key_that_deletes_it(tmp_path):
    sgd = "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))\n"
    (tmp_path / 'base.py').write_text(sgd)
    leaf = tmp_path / 'leaf.py'
    leaf.write_text("_base_ = './base.py'\noptim_wrapper = dict(optimizer=dict(type='AdamW'))\n")
    with pytest.raises(
        ValueError, match='optimizer.momentum: AdamW has no such argument. It comes from a base: set _delete_=True next to type'
    ):
        check_config(load_config(leaf))
    leaf.write_text(leaf.read_text().replace("type='AdamW'", "_delete_=True, type='AdamW', lr=0.1"))
    check_config(load_config(leaf))


def test_an_option_deletes_what_a_base_says_of_a_part_in_whatever_order_it_is_given():
    words = ['optim_wrapper.optimizer.type=SGD', 'optim_wrapper.optimizer.lr=0.1', 'optim_wrapper.optimizer._delete_=true']
    for options in (words, words[::-1]):
        config = load_config(ANIMALS, parse_options(options))
        assert config.optim_wrapper.optimizer == dict(type='SGD', lr=0.1)
        check_config(config)


@pytest.mark.parametrize('flag', FLAGS)
@pytest.mark.parametrize('command', [train_command, test_command])
def test_an_option_of_mmdetections_commands_is_refused_with_what_to_give(capsys, command, flag):
    with pytest.raises(SystemExit) as raised:
        command.parse_args(['config.py', *(['iter_1.pth'] if command is test_command else []), f'{flag}=1'])
    assert raised.value.code == 2 and f'Use {FLAGS[flag]} instead of {flag}.' in capsys.readouterr().err


def test_what_stands_in_place_of_a_flag_is_an_option_of_its_command():
    options = {
        word for command in (train_command, test_command) for word in re.findall(r"'(--[\w-]+)'", Path(command.__file__).read_text())
    }
    for advice in FLAGS.values():
        assert set(re.findall(r'--[\w-]+', advice)) <= options


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ("custom_imports = dict(imports=['hooks_of_mine'])\n", 'Failed to import hooks_of_mine. Add the folder .* PYTHONPATH'),
        ('from mmengine.config import read_base\nwith read_base():\n    from .nothing import *\n', 'there is no file .*nothing.py'),
        ('from mmengine.config import read_base\nwith read_base():\n    from .base import *\n', 'cannot be mixed .* use _base_, so use it'),
    ],
)
def test_a_config_that_cannot_be_read_says_in_one_line_what_to_change(tmp_path, text, said):
    (tmp_path / 'lowest.py').write_text('a = 1\n')
    (tmp_path / 'base.py').write_text("_base_ = './lowest.py'\n")
    (tmp_path / 'leaf.py').write_text(text)
    with pytest.raises(ValueError, match=said) as raised:
        load_config(tmp_path / 'leaf.py')
    assert len(str(raised.value).splitlines()) == 1
