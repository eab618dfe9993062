"""Slow reference metrics that follow the definitions, image by image and prediction by prediction, without code of the package.

A data set is a list of images: dicts with ``bboxes``, ``labels``, ``scores``, ``masks`` (predictions) and ``gt_bboxes``,
``gt_labels``, ``gt_difficult``, ``gt_masks``. Masks are bool (n, h, w).
"""

import math


def box_iou(first, second, extra=0.0):
    width = min(first[2], second[2]) - max(first[0], second[0]) + extra
    height = min(first[3], second[3]) - max(first[1], second[1]) + extra
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0] + extra) * (box[3] - box[1] + extra) for box in (first, second)]
    return width * height / (sum(areas) - width * height)


def pixel_iou(first, second):
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 0.0


def overlap(image, kind, index, target, extra=0.0):
    if kind == 'masks':
        return pixel_iou(image['masks'][index], image['gt_masks'][target])
    return box_iou([float(x) for x in image['bboxes'][index]], [float(x) for x in image['gt_bboxes'][target]], extra)


def ranked(images, label):
    """(image, index) of all predictions of a class by descending score; Python's sort keeps the order of equal ones."""
    pairs = [(image, index) for image in images for index in range(len(image['labels'])) if image['labels'][index] == label]
    return sorted(pairs, key=lambda pair: -pair[0]['scores'][pair[1]])


def members(image, label):
    return [index for index in range(len(image['gt_labels'])) if image['gt_labels'][index] == label]


def voc_verdicts(images, label, iou_thr, kind, extra=0.0):
    """VOCevaldet.m: True, False or None (ignored) of each ranked prediction, and the number of objects to be found."""
    taken, verdicts = set(), []
    for image, index in ranked(images, label):
        best, target = -math.inf, None
        for candidate in members(image, label):
            value = overlap(image, kind, index, candidate, extra)
            if value > best:
                best, target = value, candidate
        if best >= iou_thr:
            if kind == 'bboxes' and image['gt_difficult'][target]:
                verdicts.append(None)
            else:
                verdicts.append((id(image), target) not in taken)
                taken.add((id(image), target))
        else:
            verdicts.append(False)
    wanted = sum(1 for image in images for index in members(image, label) if kind == 'masks' or not image['gt_difficult'][index])
    return verdicts, wanted


def coco_verdicts(images, label, iou_thr, kind):
    """COCO: the best of the objects that are still free, of equal ones the last."""
    taken, verdicts = set(), []
    for image, index in ranked(images, label):
        best, target = iou_thr, None
        for candidate in members(image, label):
            value = overlap(image, kind, index, candidate)
            if (id(image), candidate) not in taken and value >= best:
                best, target = value, candidate
        verdicts.append(target is not None)
        taken.add((id(image), target))
    return verdicts, sum(len(members(image, label)) for image in images)


def average_precision(verdicts, wanted, mode):
    if wanted == 0:
        return math.nan
    right = wrong = 0
    points = []
    for verdict in verdicts:
        if verdict is not None:
            right, wrong = right + bool(verdict), wrong + (not verdict)
            points.append((right / wanted, right / (right + wrong)))
    if mode == 'area':
        area, last = 0.0, 0.0
        for recall in sorted({recall for recall, _ in points}):
            area += (recall - last) * max(precision for other, precision in points if other >= recall)
            last = recall
        return area
    grid = [k * 0.1 for k in range(11)] if mode == '11point' else [k / 100 for k in range(101)]
    return sum(max([precision for recall, precision in points if recall >= level], default=0.0) for level in grid) / len(grid)


def corloc(images, label, iou_thr, skip_difficult_only):
    correct = shown = 0
    for image in images:
        targets = members(image, label)
        if not targets or (skip_difficult_only and all(image['gt_difficult'][target] for target in targets)):
            continue
        shown += 1
        predictions = ranked([image], label)
        if predictions:
            _, index = predictions[0]
            correct += max(overlap(image, 'bboxes', index, target) for target in targets) >= iou_thr
    return correct / shown if shown else math.nan


def average_best_overlap(images, label, kind, aware=True):
    best = []
    for image in images:
        for target in members(image, label):
            counted = [index for index in range(len(image['labels'])) if not aware or image['labels'][index] == label]
            best.append(max((overlap(image, kind, index, target) for index in counted), default=0.0))
    return sum(best) / len(best) if best else math.nan


def class_map(image, size, score_thr):
    rows = []
    for y in range(size[0]):
        row = []
        for x in range(size[1]):
            covering = [i for i in range(len(image['labels'])) if image['scores'][i] >= score_thr and image['masks'][i][y][x]]
            row.append(1 + int(image['labels'][max(covering, key=lambda i: (image['scores'][i], -i))]) if covering else 0)
        rows.append(row)
    return rows


def class_iou(predicted_maps, true_maps, value):
    pairs = [
        (p, t)
        for predicted, true in zip(predicted_maps, true_maps, strict=True)
        for p_row, t_row in zip(predicted, true, strict=True)
        for p, t in zip(p_row, t_row, strict=True)
        if t != 255
    ]
    if not any(t == value for _, t in pairs):
        return math.nan
    return sum(p == value and t == value for p, t in pairs) / sum(p == value or t == value for p, t in pairs)
