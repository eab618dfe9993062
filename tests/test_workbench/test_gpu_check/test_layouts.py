"""Variants of one module."""

import pytest
import torch
from torch import nn

from mmlabelpenet.workbench.gpu_check.layouts import median_seconds, variants


@pytest.mark.parametrize('trains', [False, True])
def test_every_variant_runs_the_module_as_it_says(trains):
    torch.manual_seed(0)
    seen, module = [], nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity())
    module[1].register_forward_hook(lambda _, __, out: seen.append((out.dtype, out.is_contiguous(), out.requires_grad)))
    names = []
    for name, run in variants(module, torch.rand(2, 3, 8, 8), trains, small=True):
        names.append(name)
        run()
    assert names == ['float32', 'bf16', 'float32, channels-last', 'bf16, channels-last']
    half, single = torch.bfloat16, torch.float32
    assert seen == [(single, True, trains), (half, True, trains), (single, False, trains), (half, False, trains)]
    assert (module[0].weight.grad is not None) == trains


def test_calls_that_warm_up_do_not_count():
    calls = []
    assert median_seconds(lambda: calls.append(1), 3) >= 0 and len(calls) == 5
