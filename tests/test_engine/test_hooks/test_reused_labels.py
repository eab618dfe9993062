"""Labels kept for reuse, in checkpoints."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger

from mmlabelpenet.engine.hooks import reused_labels
from mmlabelpenet.engine.hooks.reused_labels import ReusedLabelsHook


class Cache:
    def __init__(self, refresh_interval):
        self.refresh_interval, self.state = refresh_interval, None

    def state_dict(self):
        return ['mine']

    def load_state_dict(self, state, device):
        self.state = state


def runner(interval=2, resume=True):
    model = torch.nn.Linear(1, 1)
    model.label_cache = Cache(interval)
    return SimpleNamespace(model=model, _resume=resume)


@pytest.mark.parametrize(('interval', 'expected'), [(1, {}), (2, {'reused_labels': [['mine']]})])
def test_a_checkpoint_holds_what_all_ranks_would_reuse(interval, expected):
    checkpoint = {}
    ReusedLabelsHook().before_save_checkpoint(runner(interval), checkpoint)
    assert checkpoint == expected


@pytest.mark.parametrize(('resume', 'interval', 'expected'), [(True, 2, ['b']), (False, 2, None), (True, 1, None)])
def test_each_rank_takes_its_own_labels_back_on_resuming(monkeypatch, resume, interval, expected):
    monkeypatch.setattr(reused_labels, 'get_world_size', lambda: 2)
    monkeypatch.setattr(reused_labels, 'get_rank', lambda: 1)
    this = runner(interval, resume)
    ReusedLabelsHook().after_load_checkpoint(this, {'reused_labels': [['a'], ['b']]})
    assert this.model.label_cache.state == expected


def test_another_number_of_ranks_makes_labels_anew_and_says_so(caplog):
    logger = MMLogger.get_instance('reused_labels')
    logger.addHandler(caplog.handler)
    this = runner()
    ReusedLabelsHook().after_load_checkpoint(this, {'reused_labels': [['a'], ['b']]})
    assert this.model.label_cache.state is None and 'by 2 ranks, this training has 1: they are regenerated' in caplog.text


def test_a_checkpoint_without_them_is_taken():
    this = runner()
    ReusedLabelsHook().after_load_checkpoint(this, {})
    assert this.model.label_cache.state is None
