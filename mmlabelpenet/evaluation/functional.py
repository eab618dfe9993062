"""All metrics of the paper as pure NumPy functions.

=====================  ============================================================================================
module                 what
=====================  ============================================================================================
overlaps               IoU of boxes and masks, the best-overlapping object of each prediction
matching               true, false or ignored positives by the rules of the VOC devkit and of COCO
average_precision      11-point, area and 101-point AP; box AP of a whole data set in one call
localisation           CorLoc in both conventions, average best overlap, recall of proposals
semantic               class map from instances, confusion matrix, IoU of classes
pseudo_quality         precision, recall and overlaps of pseudo instances
=====================  ============================================================================================

Values are unrounded fractions; nan means undefined, and such classes are excluded from means.
"""

from .average_precision import Detections, Objects, average_precision, average_precisions, box_average_precisions
from .localisation import best_per_object, corloc_counts, mean_per_class, proposal_quality, shares
from .matching import Matches, match_coco, match_voc
from .overlaps import RLE, BestOverlap, best_in_matrix, best_overlaps, box_iou, encode_masks, mask_iou, paired_box_iou
from .pseudo_quality import pseudo_label_quality
from .semantic import VOID, add_confusions, class_ious, confusion, confusion_matrix, paint, semantic_map

__all__ = [
    'RLE', 'VOID', 'BestOverlap', 'Detections', 'Matches', 'Objects', 'add_confusions', 'average_precision', 'average_precisions',
    'best_in_matrix', 'best_overlaps', 'best_per_object', 'box_average_precisions', 'box_iou', 'class_ious', 'confusion',
    'confusion_matrix', 'corloc_counts', 'encode_masks', 'mask_iou', 'match_coco', 'match_voc', 'mean_per_class', 'paint', 'paired_box_iou',
    'proposal_quality', 'pseudo_label_quality', 'semantic_map', 'shares',
]  # fmt: skip
