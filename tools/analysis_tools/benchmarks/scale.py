"""Proposals and labels of COCO's size (118,287 images): cost of writing, opening and loading, each in its own process."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from comparison import Comparison, Seconds

COCO, FEW = 118_287, 1000
STEPS = Path(__file__).with_name('_coco_size.py')


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Needs Linux and 2 GB of temporary disk space; memory excludes libraries."""
    with tempfile.TemporaryDirectory() as many, tempfile.TemporaryDirectory() as few:
        for step in ('write-proposals', 'write-store'):
            yield measured(f'{step}, peak memory in GB', 1, run(many, COCO, step)['peak'] / 1e9)
            run(few, FEW, step)
        opened = run(many, COCO, 'open')
        yield measured('opening both, seconds', 5, opened['seconds'])
        yield measured('memory after opening both, GB', 0.5, opened['after'] / 1e9)
        loading = (run(many, COCO, 'load')['seconds'] / run(few, FEW, 'load')['seconds'] for _ in range(3))
        yield measured(f'loading an image of {COCO:,} by one of {FEW:,}', 1.1, sorted(loading)[1])


def run(folder: str, images: int, step: str) -> dict[str, float]:
    """Resources used by a step."""
    done = subprocess.run([sys.executable, STEPS, folder, str(images), step], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measured(name: str, reach: float, value: float) -> Comparison:
    """A known number, as a comparison without further measurement."""

    def ratio(seconds: Seconds) -> float:
        return value

    shapes = f'{COCO:,} images with 500 proposals and 2 labels each'
    return Comparison(name, {'separate process': lambda: None}, reach=reach, ratio=ratio, shapes=shapes, runs=1, warmup=0)
