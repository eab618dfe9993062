"""A warning if multiple-instance learning selects only small boxes."""

import pytest
from training import train

from mmlabelpenet.workbench.report import CollapseHook


@pytest.fixture
def said(monkeypatch):
    messages = []
    monkeypatch.setattr('mmlabelpenet.workbench.report.collapse_hook.warn', messages.append)
    return messages


def run(hook, areas, key='classification.chosen_area'):
    for iteration, area in enumerate(areas):
        hook.after_train_iter(None, iteration, outputs={key: area, 'classification.loss_mil': 0.7})


def test_small_boxes_are_told_once_in_a_while(said):
    run(CollapseHook(threshold=0.05, window=4, interval=10), [0.02] * 20)
    assert len(said) == 2
    assert said[0].startswith('The median selected box covers 2 % of the image: multiple-instance learning has collapsed to parts')


def test_a_few_small_boxes_among_large_ones_are_nothing_to_tell(said):
    run(CollapseHook(threshold=0.05, window=5, interval=1), [0.5, 0.01, 0.4, 0.01, 0.3] * 3)
    assert said == []


def test_nothing_is_told_before_the_window_is_full_or_where_the_stage_does_not_train(said):
    hook = CollapseHook(threshold=0.05, window=5, interval=1)
    run(hook, [0.01] * 4)
    run(hook, [0.01] * 9, key='detection.loss_cls')
    assert said == []


def test_recurrent_training_is_watched_too(said):
    run(CollapseHook(threshold=0.05, window=5, interval=1), [0.01] * 5, key='forward.classification.chosen_area')
    assert len(said) == 1


def test_in_a_training_the_hook_finds_what_the_stage_logs_while_it_trains(toy_root, tmp_path, said):
    hook = dict(type='CollapseHook', threshold=1.0, window=1, interval=1)
    runner = train(toy_root, tmp_path, phases=[('classification', 2), ('detection', 1), ('recurrent', 1)], hooks=[hook])
    assert len(said) == 3
    for key in ('chosen_area', 'entropy'):
        assert 0 < runner.message_hub.get_scalar(f'train/forward.classification.{key}').current() <= 1


@pytest.mark.parametrize('wrong', [dict(threshold=3), dict(window=0), dict(interval=0)])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match='got'):
        CollapseHook(**wrong)
