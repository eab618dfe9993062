"""What training sees of an image. Images: RGB uint8 (h, w, 3) of the network input."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmlabelpenet.visualization.drawing import draw_proposals
from mmlabelpenet.workbench.report.tiles import Painter, Tile, titled


def draw_sample(item: Mapping[str, Any], classes: Sequence[str]) -> NDArray[np.uint8]:
    """Tags, and pseudo instances with their weights or, where there are none, proposals.

    Args:
        item: of a data set with tags, read as BGR.
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
