"""Write random images as a small VOC devkit, with predictions beside them."""

from pathlib import Path

import numpy as np
from PIL import Image
from random_images import SIZE, random_image

CLASSES = ('cat', 'cow', 'dog')
VOC_INDEX = np.array([0, 8, 10, 12], np.uint8)  # of background and CLASSES in SegmentationClass
STAGES = ('detection', 'segmentation')


def write_devkit(root: Path, images: dict[str, dict], split: str = 'val') -> Path:
    """Images by id, with ``gt_bboxes``, ``gt_labels``, ``gt_difficult``, ``gt_masks`` (apart from each other) and ``class_mask``."""
    for folder in ('Annotations', 'ImageSets/Main', 'JPEGImages', 'SegmentationClass', 'SegmentationObject'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / 'ImageSets/Main' / f'{split}.txt').write_text('\n'.join(images) + '\n')
    height, width = SIZE
    for image_id, image in images.items():
        objects = ''.join(
            f'<object><name>{CLASSES[label]}</name><difficult>{int(hard)}</difficult><bndbox><xmin>{box[0] + 1:.0f}</xmin>'
            f'<ymin>{box[1] + 1:.0f}</ymin><xmax>{box[2]:.0f}</xmax><ymax>{box[3]:.0f}</ymax></bndbox></object>'
            for box, label, hard in zip(image['gt_bboxes'], image['gt_labels'], image['gt_difficult'], strict=True)
        )
        (root / 'Annotations' / f'{image_id}.xml').write_text(
            f'<annotation><size><width>{width}</width><height>{height}</height><depth>3</depth></size>{objects}</annotation>'
        )
        Image.new('RGB', (width, height)).save(root / 'JPEGImages' / f'{image_id}.jpg')
        if image['gt_masks'] is not None:
            instances = sum(((k + 1) * mask for k, mask in enumerate(image['gt_masks'])), np.zeros(SIZE, np.uint8))
            _save(root / 'SegmentationObject' / f'{image_id}.png', instances)
            _save(root / 'SegmentationClass' / f'{image_id}.png', VOC_INDEX[image['class_mask']])
    return root


def _save(path: Path, values: np.ndarray) -> None:
    image = Image.fromarray(values.astype(np.uint8), mode='P')
    image.putpalette([value for value in range(256) for _ in range(3)])
    image.save(path)


def devkit_image(rng: np.random.Generator) -> dict:
    """A random image whose instance masks lie apart, agree with the class mask and have pixels, as SegmentationObject needs."""
    image = random_image(rng, len(CLASSES))
    covered = np.zeros(SIZE, bool)
    masks = []
    for left, top, right, bottom in image['gt_bboxes'].astype(int):
        mask = np.zeros(SIZE, bool)
        mask[top:bottom, left:right] = True
        masks.append(mask & ~covered)
        covered |= mask
    kept = [index for index, mask in enumerate(masks) if mask.any()]
    for key in ('gt_bboxes', 'gt_labels', 'gt_difficult'):
        image[key] = image[key][kept]
    image['gt_masks'] = np.array([masks[index] for index in kept], bool).reshape(-1, *SIZE)
    image['class_mask'] = sum((1 + label) * mask for label, mask in zip(image['gt_labels'], image['gt_masks'], strict=True))
    image['class_mask'] = np.broadcast_to(image['class_mask'], SIZE).astype(np.uint8)
    return image


def devkit_images(seed: int, count: int = 6) -> dict[str, dict]:
    rng = np.random.default_rng(seed)
    return {f'2007_{index:06d}': devkit_image(rng) for index in range(count)}
