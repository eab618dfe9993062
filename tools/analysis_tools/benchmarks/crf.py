"""Compare the dense CRF in PyTorch operations, on one CPU thread or on a GPU, with pydensecrf on one CPU thread."""

from collections.abc import Iterator
from importlib.util import find_spec

import cv2
import numpy as np
import torch
from comparison import Comparison

from mmlabelpenet.calibration.crf import build_crf
from mmlabelpenet.terminal import say
from mmlabelpenet.workbench.quickstart.scenes import RenderSettings, render_scene

HEIGHT, WIDTH = 375, 500
LABELS = (2, 3, 4, 8)  # the background and one or more objects


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """One image, preset `deeplab`, by number of labels; the shorter preset `small` at the end. None without pydensecrf."""
    if find_spec('pydensecrf') is None:
        say('crf: pydensecrf is not installed, so there is no reference')
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for preset, labels in [*(('deeplab', labels) for labels in LABELS), ('small', 3)]:
            yield comparison(preset, *scene(labels), device)
    finally:
        torch.set_num_threads(threads)


def comparison(preset: str, image: np.ndarray, attention: np.ndarray, device: torch.device) -> Comparison:
    """Both backends on one image."""
    ours, theirs = (build_crf(dict(preset=preset, backend=backend)) for backend in ('torch', 'pydensecrf'))
    tensors = [[torch.from_numpy(array).to(device)] for array in (image, attention)]
    shapes = f'{image.shape[1]} x {image.shape[0]} pixels, downscaled to {ours.max_size} if larger, {ours.iterations} iterations'
    variants = {'PyTorch operations': lambda: ours.batch(*tensors), 'pydensecrf': lambda: theirs(image, attention)}
    return Comparison(f'preset {preset}, {len(attention)} labels', variants, reach=2, shapes=shapes)


def scene(labels: int, height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """A rendered image, and smooth attention that does not match it."""
    rng = np.random.default_rng(labels)
    image = render_scene(rng, RenderSettings(width=WIDTH, height=HEIGHT)).image
    coarse = rng.dirichlet(np.full(labels, 0.5), (5, 7)).astype(np.float32)
    attention = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.ascontiguousarray(attention)
