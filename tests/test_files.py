import subprocess
import sys

import pytest

from mmlabelpenet.files import atomic_write


def test_the_file_appears_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    with atomic_write(path) as file:
        file.write('ä\n')
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == 'ä\n'.encode()
    assert list(path.parent.iterdir()) == [path]


def test_bytes_replace_the_old_file_as_a_whole(tmp_path):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'old and longer')
    with atomic_write(path, 'wb') as file:
        file.write(b'new')
        assert path.read_bytes() == b'old and longer'
    assert path.read_bytes() == b'new'


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_after_an_error_the_old_file_stands_alone(tmp_path, error):
    path = tmp_path / 'a.txt'
    path.write_text('old')

    def fail():
        with atomic_write(path) as file:
            file.write('half')
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'old')
    # The system refuses to let a file grow beyond 10,000 bytes, as a full disk would.
    code = f"""
import resource, signal
from mmlabelpenet.files import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
with atomic_write({str(path)!r}, 'wb') as file:
    file.write(b'x' * 20_000)
"""
    result = subprocess.run([sys.executable, '-B', '-c', code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert 'OSError' in result.stderr
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / 'plain').touch()
    with atomic_write(tmp_path / 'a'):
        pass
    assert (tmp_path / 'a').stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_another_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got 'a'"), atomic_write(tmp_path / 'a', 'a'):
        pass
