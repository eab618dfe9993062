import os

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from mmlabelpenet.engine import checkpoint_loader


class Harmful:
    """Unpickling it the usual way makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class Attribute:
    """Unpickling it asks for an attribute of a class."""

    def __init__(self, owner, name):
        self.arguments = owner, name

    def __reduce__(self):
        return getattr, self.arguments


def saved(content, tmp_path):
    torch.save(content, tmp_path / 'a.pth')
    return str(tmp_path / 'a.pth')


def test_mmengine_reads_local_checkpoints_by_this_loader(tmp_path):
    assert CheckpointLoader._get_checkpoint_loader('work_dirs/iter_1.pth') is checkpoint_loader.load
    assert CheckpointLoader.load_checkpoint(saved(dict(state_dict=dict(a=torch.ones(2))), tmp_path))['state_dict']['a'].tolist() == [1, 1]


def test_the_log_history_of_a_training_comes_back_with_its_statistics(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    read = checkpoint_loader.load(saved(dict(loss=history, seen=np.int64(3), shares=np.array([0.5])), tmp_path))
    assert read['loss'].mean() == 1.5 and read['loss'].statistics('max') == 2.0
    assert read['seen'] == 3 and read['shares'].tolist() == [0.5]


@pytest.mark.parametrize('core', ['core', '_core'])
def test_arrays_written_under_numpy_1_and_2_may_be_read(core):
    named = {item[1] for item in checkpoint_loader._allowed() if isinstance(item, tuple)}
    assert {f'numpy.{core}.multiarray._reconstruct', f'numpy.{core}.multiarray.scalar'} <= named


def test_a_file_with_other_objects_is_refused_in_one_line_and_runs_no_code(tmp_path):
    path = saved(dict(state_dict=dict(a=torch.ones(1)), extra=Harmful(tmp_path / 'made')), tmp_path)
    with pytest.raises(ValueError, match='more than tensors') as caught:
        CheckpointLoader.load_checkpoint(path)
    assert '\n' not in str(caught.value) and not (tmp_path / 'made').exists()


@pytest.mark.parametrize('owner, name', [(HistoryBuffer, '__init__'), (np.ndarray, 'tofile'), (dict, 'get')])
def test_attributes_other_than_the_statistics_are_refused(tmp_path, owner, name):
    with pytest.raises(ValueError, match='more than tensors'):
        checkpoint_loader.load(saved(Attribute(owner, name), tmp_path))


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='gone.pth does not exist'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'gone.pth'))
