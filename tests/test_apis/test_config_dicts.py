"""Other values where a config needs a dict are reported in one line."""

import copy
import itertools
from pathlib import Path

import pytest

from mmlabelpenet.apis import load_config
from mmlabelpenet.apis.config_dicts import LISTS, dicts_within, not_dicts
from mmlabelpenet.apis.registered import Registered
from mmlabelpenet.options import parse_options

ROOT = Path(__file__).resolve().parents[2]
RENDERED = 'configs/labelpenet/labelpenet_lite0_rendered.py'
FIND = Registered('mmlabelpenet')


def test_no_dict_of_a_config_may_be_a_list_a_text_or_a_number():
    content = load_config(ROOT / RENDERED).to_dict()
    paths = [path for path, _, _ in dicts_within(content) if path and not isinstance(path[-1], int)]
    lists = [path for path in paths if LISTS.fullmatch('.'.join(map(str, path)))]  # where a list of dicts may be as well
    assert len(paths) > 150 and 0 < len(lists) < 10
    for depth, value in itertools.product({len(path) for path in paths}, ([], [{}], ['a'], 'a', 3, True)):
        alike, wrong = [path for path in paths if len(path) == depth], copy.deepcopy(content)  # none is within another
        for path in alike:
            node = wrong
            for step in path[:-1]:
                node = node[step]
            node[path[-1]] = value
        faults = [*not_dicts(wrong, FIND)]
        for path in alike:
            found = [fault for fault in faults if fault.path == path]
            assert len(found) == (path not in lists or value not in ([], [{}])), (path, value)
            assert all(fault.what.startswith('expected a dict') for fault in found)


@pytest.mark.parametrize('option', ['model=[a]', 'train_cfg.phases=[1]', 'model.stages=[dict(a=1)]', 'label_dataloader=[1]', 'model=[]'])
def test_a_list_on_the_command_line_in_place_of_a_dict_names_the_key(option):
    with pytest.raises(ValueError, match=f'{option.partition("=")[0]}.*: expected a dict') as raised:
        load_config(ROOT / RENDERED, parse_options([option]))
    assert '\n' not in str(raised.value)


def test_a_list_of_dicts_passes_where_another_packages_annotation_is_not_exact():
    neck = [dict(type='mmdet.FPN', in_channels=[8], out_channels=8, num_outs=1)]
    content = dict(model=dict(type='mmdet.FasterRCNN', neck=neck, backbone=dict(type='mmdet.ResNet', depth=18)))
    assert [*not_dicts(content, FIND)] == []
    content['model']['neck'] = 'FPN'
    assert [fault.path for fault in not_dicts(content, FIND)] == [('model', 'neck')]


@pytest.mark.parametrize('tool', ['get_flops.py', 'memory.py', 'estimate.py', 'browse_dataset.py', 'trivial_baselines.py'])
def test_tools_that_check_no_config_name_the_key_too(load_tool, monkeypatch, tool):
    monkeypatch.setattr('sys.argv', [tool, str(ROOT / RENDERED), '--cfg-options', 'model.stages=[]'])
    with pytest.raises(ValueError, match='model.stages: expected a dict, got'):
        load_tool(f'analysis_tools/{tool}').main()


def test_a_data_loader_without_a_data_set_is_named_by_every_tool(load_tool):
    tool = load_tool('analysis_tools/browse_dataset.py')
    with pytest.raises(ValueError, match='--cfg-options: train_dataloader.dataset: expected a dict with a type, got None.'):
        tool.main([str(ROOT / RENDERED), '--cfg-options', 'train_dataloader.dataset=None'])
