"""Output caused by mmdet's imports."""

import subprocess
import sys


def test_the_programming_interface_is_imported_without_remarks_on_optional_packages():
    done = subprocess.run([sys.executable, '-c', 'import mmlabelpenet.apis'], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ''
