"""Statistics of a proposal file: proposals per image and, if boxes are annotated, the recall of objects."""

from collections.abc import Sequence

import numpy as np

from mmlabelpenet.schema import counted

from ..datasets.proposals import ProposalFile
from .devkit import Devkit
from .functional import proposal_quality
from .overlaps import box_iou


def describe_proposals(devkit: Devkit, image_ids: Sequence[str], proposals: ProposalFile) -> list[str]:
    """Counts, recall and average best overlap, in a line or two.

    Args:
        devkit: data set of the images; annotations are optional, difficult objects are ignored.
        image_ids: at least one.
        proposals: proposals of these images.
    """
    counts = np.array([len(proposals.get(image_id)[0]) for image_id in image_ids])
    lines = [
        f'{proposals.path}: {counted(len(counts), "image")}, proposals per image: mean {counts.mean():.0f}, minimum {counts.min()}, median '
        f'{np.median(counts):.0f}, maximum {counts.max()}'
    ]
    best = []
    for image_id in image_ids:
        if devkit.is_annotated(image_id):
            objects = devkit.all_boxes(image_id)
            best.append(box_iou(objects.bboxes[~objects.difficult], proposals.get(image_id)[0]).max(1, initial=0))
    overlaps = np.concatenate(best) if best else np.zeros(0)
    if len(overlaps):
        quality = proposal_quality(overlaps, np.zeros(len(overlaps), int), num_classes=1, iou_thrs=(0.5, 0.7))
        shares = ', '.join(f'at {threshold}: {100 * quality[f"recall_{100 * threshold:g}"]:.1f} %' for threshold in (0.5, 0.7))
        lines.append(
            f'recall of {counted(len(overlaps), "object")} in {counted(len(best), "annotated image")} (without difficult ones), IoU '
            f'{shares}; average best overlap {100 * quality["average_best_overlap"]:.1f} %'
        )
    return lines
