"""Arrays in a file: identical arrays give identical files."""

import hashlib
import io
import sys
import zipfile

import numpy as np
import pytest

from mmlabelpenet.formats.mapped_arrays import ArrayFile, Streamed, write_arrays


def test_the_bytes_of_a_file_are_those_of_the_first_one_ever_written():
    values = np.arange(6, dtype='<f4').reshape(2, 3)
    whole, streamed = io.BytesIO(), io.BytesIO()
    write_arrays(whole, dict(bboxes=values, names=np.array(['a', 'b'])))
    write_arrays(streamed, dict(bboxes=Streamed(values.dtype, values.shape, iter([values[:1], values[1:]])), names=np.array(['a', 'b'])))
    assert streamed.getvalue() == whole.getvalue()
    expected = '7b6b938cc9b3e895f21a3063fa090352fa6399c5c936783237525900e0c4e116'
    if sys.version_info < (3, 11):  # whose zipfile writes other sizes into the headers of its members, which no reader looks at
        expected = '8b44044917068d38694f115321af45033a6229336f05ad128cb058a0f81176bd'
    assert hashlib.sha256(whole.getvalue()).hexdigest() == expected


@pytest.mark.parametrize('read', ['load', 'map'])
@pytest.mark.parametrize(
    ('shape', 'by_columns', 'sound'), [((3,), True, True), ((), True, True), ((0, 2), False, True), ((1, 3), True, False)]
)
def test_arrays_of_one_axis_are_the_same_by_rows_and_by_columns(tmp_path, shape, by_columns, sound, read):
    with zipfile.ZipFile(tmp_path / 'a.npz', 'w') as archive, archive.open('a.npy', 'w') as member:
        np.lib.format.write_array_header_1_0(member, dict(descr='<f4', fortran_order=by_columns, shape=shape))
        member.write(np.arange(np.prod(shape, dtype=int), dtype='<f4').tobytes())
    file = ArrayFile(tmp_path / 'a.npz')
    if sound:
        found = getattr(file, read)('a')
        assert found.shape == shape and found.ravel().tolist() == [*range(found.size)]
    else:
        with pytest.raises(ValueError, match='in Fortran order'):
            getattr(file, read)('a')
