"""Figures for papers and slides, drawn without a screen."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

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


def draw_confusion(counts: NDArray[np.int64], classes: Sequence[str], out: str | Path) -> Path:
    """A confusion matrix as a figure, in percent of each row.

    Args:
        counts: (C + 1, C + 1), annotated by predicted class; the last row and column are the background.
        classes: C names.
        out: the figure; its suffix says in which format.
    """
    names, shares = [*classes, 'background'], 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(2 + 0.5 * len(names), 1.6 + 0.5 * len(names)), layout='constrained')
    axis = figure.subplots()
    axis.imshow(shares, cmap='Blues', vmin=0, vmax=100)
    for row, column in np.argwhere(counts):
        dark = shares[row, column] > 50
        axis.text(column, row, f'{shares[row, column]:.0f}', ha='center', va='center', fontsize=7, color='white' if dark else 'black')
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set(xlabel='predicted', ylabel='annotated')
    return save_figure(figure, out)
