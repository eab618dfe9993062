"""Parameter groups."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import OPTIMIZERS, build_optim_wrapper
from torch import nn

from mmlabelpenet.engine.parameters import keep_settings


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def logged():
    handler, logger = Lines(), MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_rules_of_single_tensors_are_one_line_of_the_log_and_frozen_tensors_are_counted(logged):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 5))
    model[0].requires_grad_(False)
    rules = dict(custom_keys={'1': dict(lr_mult=10)})
    wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.1, weight_decay=0.5), paramwise_cfg=rules))
    assert logged == ['paramwise_cfg: 2 tensors have separate rules, 2 tensors are frozen and skipped.']
    rates = [group['lr'] for group in wrapper.param_groups if any(p.requires_grad for p in group['params'])]
    assert sorted(rates) == pytest.approx([0.1, 0.1, 1.0, 1.0])


def test_without_rules_nothing_is_said(logged):
    build_optim_wrapper(nn.Linear(2, 3), dict(optimizer=dict(type='SGD', lr=0.1)))
    assert logged == []


def test_a_rule_that_no_parameter_follows_is_named(logged):
    rules = dict(custom_keys={'backbones': dict(lr_mult=10), 'weight': dict(lr_mult=2)})
    build_optim_wrapper(nn.Linear(2, 3), dict(optimizer=dict(type='SGD', lr=0.1), paramwise_cfg=rules))
    assert "optim_wrapper.paramwise_cfg.custom_keys: no parameter has 'backbones' in its name." in logged
    assert not any("'weight'" in line for line in logged)


def test_other_lines_that_are_said_meanwhile_stay_in_the_log(logged):
    @OPTIMIZERS.register_module(name='Talking', force=True)
    class Talking(torch.optim.SGD):
        def __init__(self, params, **kwargs):
            MMLogger.get_current_instance().info('a line of another part')
            super().__init__(params, **kwargs)

    build_optim_wrapper(nn.Linear(2, 3), dict(optimizer=dict(type='Talking', lr=0.1)))
    assert logged == ['a line of another part']


def test_another_number_of_groups_is_another_optimizer():
    first, second = (torch.optim.SGD([dict(params=[torch.zeros(1)]) for _ in range(count)], lr=0.1) for count in (1, 2))
    keep_settings(second)
    with pytest.raises(ValueError, match='written with another optimizer. It has 1 parameter group with .*SGD of the config 2 with'):
        second.load_state_dict(first.state_dict())
    second.load_state_dict(second.state_dict())
