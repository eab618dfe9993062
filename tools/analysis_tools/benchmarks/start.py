"""Startup time: the help of the tools, and building the largest model."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import torch
from _scenes import ROOT, build_model
from comparison import Comparison

from mmlabelpenet.apis.config import load_config


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Seconds, so the ratio is relative to 1 s."""
    for tool in ('train', 'test'):
        command = [sys.executable, str(ROOT / f'tools/{tool}.py'), '--help']
        run = partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
        yield Comparison(
            f'{tool}.py --help, seconds', {'help': run}, reach=1, ratio=lambda seconds: seconds['help'], shapes='a new process'
        )
    config = load_config(ROOT / 'configs/labelpenet/labelpenet_vgg16_voc07.py')
    yield Comparison(
        'building the VGG-16 model, seconds',
        {'build': partial(build_model, config, device, pretrained=False)},
        reach=5,
        ratio=lambda seconds: seconds['build'],
        shapes='four stages, 534 million parameters, without reading ImageNet weights',
        runs=3,
    )
