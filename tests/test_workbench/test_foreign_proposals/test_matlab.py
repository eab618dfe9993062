import os
import signal

import numpy as np
import pytest
from scipy.io import savemat

from mmlabelpenet.workbench.foreign_proposals import matlab
from mmlabelpenet.workbench.foreign_proposals.matlab import load_mat
from mmlabelpenet.workbench.foreign_proposals.readers import read_foreign


@pytest.mark.parametrize(
    ('content', 'kind'),
    [
        (b'# Created by Octave 8.4.0, Mon Jan 01 2024\n# name: boxes\n# type: cell\n', 'a text file of Octave'),
        (b'Octave-1-L\x00\x05\x00\x00\x00', 'a binary file of Octave'),
        (b'\x89HDF\r\n\x1a\n', 'an HDF5 file'),
        (b'\x1f\x8b\x08\x00', 'a compressed file'),
        (b'MATLAB 7.3 MAT-file, Platform: GLNXA64' + b' ' * 600, r'a MATLAB v7.3 file'),
    ],
)
@pytest.mark.parametrize('suffix', ['.mat', '.MAT'])
def test_files_of_other_kinds_are_refused_with_the_command_that_saves_them(tmp_path, content, kind, suffix):
    (tmp_path / f'ss{suffix}').write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"{kind}.* Save it again in Octave or MATLAB: load.'ss{suffix}'., then save.'-v7', 'ss_v7.mat'."
    ) as error:
        read_foreign(tmp_path / f'ss{suffix}', ['a'])
    assert '\n' not in str(error.value)


def test_a_suffix_in_capitals_is_read(tmp_path):
    cells = np.empty(1, object)
    cells[0] = np.array([[1.0, 1, 5, 5]])
    savemat(tmp_path / 'ss.mat', dict(boxes=cells))
    (tmp_path / 'ss.mat').rename(tmp_path / 'SS.MAT')
    assert read_foreign(tmp_path / 'SS.MAT', ['a']).boxes['a'].tolist() == [[1, 1, 5, 5]]
    assert list(load_mat(tmp_path / 'SS.MAT')) == ['boxes']


def test_a_file_that_ends_the_process_that_reads_it_is_one_line_and_the_next_file_is_read(tmp_path, monkeypatch):
    for name in 'ab':
        savemat(tmp_path / f'{name}.mat', dict(boxes=np.ones((1, 4))))
    with monkeypatch.context() as patch:
        patch.setattr(matlab, '_variables', end_this_process)
        with pytest.raises(ValueError, match='a.mat. cannot be read as a MATLAB file: it crashes the reader'):
            load_mat(tmp_path / 'a.mat')
    assert list(load_mat(tmp_path / 'b.mat')) == ['boxes']


def end_this_process(path):
    os.kill(os.getpid(), signal.SIGKILL)


def test_nonsense_is_one_line(tmp_path):
    (tmp_path / 'a.mat').write_bytes(b'nonsense' * 100)
    with pytest.raises(ValueError, match='cannot be read as a MATLAB file'):
        load_mat(tmp_path / 'a.mat')
