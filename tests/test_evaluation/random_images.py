"""Small random data sets with many edge cases: ties, equal boxes, empty images, duplicates, difficult-only classes, empty masks."""

import numpy as np

SIZE = (12, 14)


def random_boxes(rng, count):
    """Integer boxes on a coarse grid, so that equal boxes and IoUs of exactly 0.5 are common."""
    starts = rng.integers(0, 4, (count, 2)) * 2
    return np.concatenate([starts, starts + rng.integers(1, 4, (count, 2)) * 2], axis=1).astype(np.float32)


def masks_of(rng, boxes):
    masks = np.zeros((len(boxes), *SIZE), dtype=bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int), strict=True):
        kind = rng.integers(0, 5)
        if kind:
            mask[top:bottom, left:right] = True
        if kind == 1:
            mask &= rng.random(SIZE) < 0.8
    return masks


def random_image(rng, num_classes, with_ties=True):
    count, objects = int(rng.integers(0, 9)) * int(rng.random() < 0.85), int(rng.integers(0, 5)) * int(rng.random() < 0.85)
    gt_bboxes = random_boxes(rng, objects)
    bboxes = random_boxes(rng, count)
    for index in range(count):
        if objects and rng.random() < 0.6:
            bboxes[index] = gt_bboxes[rng.integers(objects)] + rng.integers(0, 2, 4) * [0, 0, 1, 1]
    gt_masks, masks = masks_of(rng, gt_bboxes), masks_of(rng, bboxes)
    for index in range(count):
        if objects and rng.random() < 0.4:
            masks[index] = gt_masks[rng.integers(objects)]
    return {
        'bboxes': bboxes,
        'labels': rng.integers(0, num_classes, count),
        'scores': rng.integers(0, 8, count) / 8 if with_ties else rng.permutation(1000)[:count] / 1000 + rng.random() * 1e-4,
        'masks': masks,
        'gt_bboxes': gt_bboxes,
        'gt_labels': rng.integers(0, num_classes, objects),
        'gt_difficult': rng.random(objects) < 0.3,
        'gt_masks': gt_masks,
        'class_mask': rng.choice([*range(num_classes + 1), 255], SIZE).astype(np.uint8),
    }


def random_dataset(seed, num_classes=3, with_ties=True, max_images=5):
    rng = np.random.default_rng(seed)
    return [random_image(rng, num_classes, with_ties) for _ in range(int(rng.integers(1, max_images + 1)))]


def crowd(seed, num_classes=3, count=70):
    """One image full of predictions of few objects, most of them duplicates with equal scores, beside an empty one."""
    rng = np.random.default_rng(seed)
    full, empty = random_image(rng, num_classes), random_image(rng, num_classes)
    gt_bboxes, gt_masks = random_boxes(rng, 3), np.zeros((3, *SIZE), dtype=bool)
    gt_masks[:] = masks_of(rng, gt_bboxes)
    full |= {
        'gt_bboxes': gt_bboxes,
        'gt_masks': gt_masks,
        'gt_labels': rng.integers(0, num_classes, 3),
        'gt_difficult': rng.random(3) < 0.3,
    }
    target = rng.integers(0, 3, count)
    bboxes = gt_bboxes[target] + rng.integers(-1, 2, (count, 4)).astype(np.float32) * [1, 1, 0, 0]
    masks = gt_masks[target] ^ (rng.random((count, *SIZE)) < 0.05)
    labels = np.where(rng.random(count) < 0.8, full['gt_labels'][target], rng.integers(0, num_classes, count))
    full |= {'bboxes': bboxes.astype(np.float32), 'masks': masks, 'labels': labels, 'scores': rng.integers(0, 8, count) / 8}
    for key in ('bboxes', 'masks', 'labels', 'scores'):
        empty[key] = empty[key][:0]
    return [full, empty]


def flat(images):
    """The whole data set as arrays with indices of images: predictions and objects."""
    counts, objects = [len(image['labels']) for image in images], [len(image['gt_labels']) for image in images]
    joined = {key: np.concatenate([image[key] for image in images]) for key in images[0] if key not in ('class_mask',)}
    joined['images'], joined['gt_images'] = np.repeat(np.arange(len(images)), counts), np.repeat(np.arange(len(images)), objects)
    return joined
