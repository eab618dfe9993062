"""Compare ``selective_search.py`` with two processes with a loop of OpenCV's selective search on one core."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import torch
from _scenes import ROOT, rendered_data
from comparison import Comparison

from mmlabelpenet.ops.selective_search import opencv_search

IMAGES, HEIGHT, WIDTH, PROCESSES = 24, 375, 500, 2
TOOL = ROOT / 'tools/dataset_converters/selective_search.py'


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """The whole command, including start and output file; the loop only reads images and searches."""
    root = rendered_data(IMAGES, HEIGHT, WIDTH)
    out = root.parent / 'searched.npz'
    images = sorted((root / 'JPEGImages').glob('train_*.jpg'))

    def command() -> None:
        words = [sys.executable, str(TOOL), str(root), 'train', str(out), '--workers', str(PROCESSES)]
        subprocess.run(words, check=True, capture_output=True)

    def remove() -> None:
        out.unlink(missing_ok=True)
        shutil.rmtree(out.with_name(out.name + '.parts'), ignore_errors=True)

    yield Comparison(
        'loop on one core by the command with two processes',
        {'loop': lambda: raw_loop(images), 'command': command},
        reach=1.9,
        at_least=True,
        prepare=remove,
        shapes=f'{IMAGES} images of {WIDTH} x {HEIGHT}, mode fast',
        runs=3,
        warmup=0,
    )


def raw_loop(images: list[Path]) -> None:
    """OpenCV alone."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    for path in images:
        search = opencv_search()
        search.setBaseImage(cv2.imread(str(path)))
        search.switchToSelectiveSearchFast()
        search.process()
    cv2.setNumThreads(threads)
