"""Common behaviour of the training and test commands."""

import gc
from importlib import import_module

import pytest

from mmlabelpenet import apis


@pytest.mark.parametrize('name', ['train', 'test'])
def test_the_garbage_collector_passes_over_what_was_imported(name, monkeypatch):
    done = []
    monkeypatch.setenv('RANK', '1')  # prints no table
    monkeypatch.setattr(gc, 'freeze', lambda: done.append('freeze'))
    monkeypatch.setattr(apis, name, lambda *args, **kwargs: done.append(name))
    import_module(f'mmlabelpenet.commands.{name}').main(
        ['configs/labelpenet/labelpenet_lite0_rendered.py', 'iter_1.pth'][: 1 + (name == 'test')]
    )
    assert done == ['freeze', name]
