"""Figures for papers and slides, drawn without a screen."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from mmlabelpenet.files import atomic_write


def save_figure(figure: Figure, out: str | Path) -> Path:
    """Write a figure in the format that the suffix names (PNG without one); the same figure gives the same file.

    Raises:
        ValueError: matplotlib does not know the format.
    """
    path = Path(out)
    with matplotlib.rc_context({'svg.hashsalt': 'mmlabelpenet'}), atomic_write(path, 'wb') as file:
        kind = path.suffix[1:] or 'png'
        figure.savefig(file, format=kind, dpi=130, metadata={'Date': None} if kind == 'svg' else None)
    return path
