"""Some images of a data set, and an image as training sees it. Images: RGB uint8 (h, w, 3) of the network input."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmlabelpenet.schema import counted
from mmlabelpenet.visualization.drawing import draw_proposals
from mmlabelpenet.workbench.report.tiles import Painter, Tile, titled


def draw_sample(item: Mapping[str, Any], classes: Sequence[str]) -> NDArray[np.uint8]:
    """Tags, and pseudo instances with their weights or, if there are none, proposals.

    Args:
        item: item of a data set with tags, read as BGR.
        classes: C names.
    """
    image = np.ascontiguousarray(item['inputs'].numpy().transpose(1, 2, 0)[..., ::-1])
    sample = item['data_samples']
    tags = [classes[label] for label in sample.gt_image_labels.onehot.nonzero().flatten().tolist()]
    pseudo = sample.pseudo_instances
    if len(pseudo):
        masks = pseudo.masks.masks.astype(bool)
        drawn = Painter(image, classes).labels('', pseudo.bboxes.numpy(), pseudo.labels.numpy(), pseudo.weights.tolist(), masks).image
    else:
        drawn = draw_proposals(image, sample.proposals.bboxes.numpy())
    return titled(Tile('input', f'tags: {", ".join(tags) or "none"}', drawn))


def evenly_spread(length: int, count: int | None = None) -> list[int]:
    """Indices of ``count`` >= 1 elements spread evenly over a list, including the first and the last; all if the list is shorter or
    ``count`` is None.

    >>> evenly_spread(10, 4), evenly_spread(10, 6), evenly_spread(2, 5)
    ([0, 3, 6, 9], [0, 2, 4, 5, 7, 9], [0, 1])
    """
    if count is not None and count < 1:
        raise ValueError(f'Choose at least one of {counted(length, "image")}, got {count}.')
    chosen = length if count is None else min(count, length)
    return [int(index) for index in np.linspace(0, length - 1, chosen).round()]
