"""Output caused by mmdet's imports."""

import subprocess
import sys


def test_the_programming_interface_and_then_detectors_are_imported_without_remarks_on_optional_packages():
    code = 'import mmlabelpenet.apis; import mmcv.ops; from mmdet.models.detectors import MaskRCNN; print(MaskRCNN.__name__)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, 'MaskRCNN\n', '')
