"""Provenance of results besides config and checkpoint: code, packages, time."""

import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import mmlabelpenet

PACKAGES = ('torch', 'torchvision', 'mmcv', 'mmengine', 'mmdet', 'numpy', 'pycocotools')


def receipt(start: float) -> dict[str, Any]:
    """The last fields of ``meta`` in every results file.

    Args:
        start: ``time.monotonic()`` when the work began.

    Returns:
        ``commit``, ``versions`` and ``wall_time_s``.

    >>> sorted(receipt(time.monotonic()))
    ['commit', 'versions', 'wall_time_s']
    """
    return dict(commit=git_commit(), versions=package_versions(), wall_time_s=time.monotonic() - start)


def package_versions() -> dict[str, str]:
    """Versions of Python, of this package and of the packages that affect results."""
    found = {'python': platform.python_version(), 'mmlabelpenet': mmlabelpenet.__version__}
    for name in PACKAGES:
        module = __import__(name)
        found[name] = str(getattr(module, '__version__', None) or metadata.version(name))
    return found


def git_commit() -> str | None:
    """The commit of the checkout that the package runs from, marked ``+`` if files differ from it; None outside a checkout."""
    root = Path(mmlabelpenet.__file__).parents[1]
    if not (root / '.git').exists():
        return None
    try:
        commit = subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(['git', 'status', '--porcelain', '-uno'], cwd=root, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ('+' if changes.strip() else '')
