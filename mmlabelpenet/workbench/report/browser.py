"""The label browser: a single HTML file with thousands of small images.

Images are stored in chunks that the browser unpacks when one of them is first shown; 48 images are shown per page.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.devkit import Devkit
from mmlabelpenet.formats.file_names import below
from mmlabelpenet.formats.images import read_rgb
from mmlabelpenet.formats.rle import draw
from mmlabelpenet.progress import track
from mmlabelpenet.visualization.drawing import enlarge
from mmlabelpenet.workbench.exports.labels import file_below
from mmlabelpenet.workbench.report.comparison import compare, disagreement
from mmlabelpenet.workbench.report.page import hex_colours, webp_base64, write_page

CHUNK = 100  # images per chunk


def write_browser(
    out: str | Path,
    stores: Mapping[str, PseudoLabelStore],
    images: str | Path | None,
    devkit: Devkit | None = None,
    tags: Mapping[str, Sequence[int]] | None = None,
    width: int = 256,
) -> Path:
    """Write the page, atomically.

    Args:
        stores: label stores by stage, in order, with the same classes.
        images: folder of the images; None for those of the devkit.
        devkit: with annotations of some images; None shows none.
        tags: tags by image id, to be shown.

    Raises:
        ValueError: no store, stores of different classes, or neither folder nor devkit.
        FileNotFoundError: an image is missing.
    """
    classes = _classes(stores)
    first = next(iter(stores.values()))
    entries, thumbs = [], []
    for image in track(first.content['images'], 'images'):
        rgb = read_rgb(_image_file(image, images, devkit))
        image = image | dict(height=rgb.shape[0], width=rgb.shape[1])  # stores of other programs may lack them
        scale = width / rgb.shape[1]
        small = enlarge(rgb, scale)
        thumbs.append(webp_base64(small, quality=60))
        entries.append(image_entry(image, stores, small.shape[:2], scale, devkit, (tags or {}).get(image['img_id'], ())))
    truth = any('o' in instance for entry in entries for instance in entry['i'])
    meta = dict(classes=classes, colours=hex_colours(len(classes)), stages=list(stores), truth=truth, images=entries)
    return write_browser_page(out, meta, thumbs)


def write_browser_page(out: str | Path, meta: Mapping, thumbs: Sequence[str]) -> Path:
    """Write the page from its data."""
    chunks = [thumbs[start : start + CHUNK] for start in range(0, len(thumbs), CHUNK)]
    return write_page(out, 'browser.html', meta=dict(meta, chunk=CHUNK), chunks=chunks)


def image_entry(
    image: Mapping,
    stores: Mapping[str, PseudoLabelStore],
    size: tuple[int, int],
    scale: float,
    devkit: Devkit | None = None,
    tags: Sequence[int] = (),
) -> dict:
    """Data of an image in the page: name ``n``, size, tags ``t``, instances ``i``, disagreement of its stages ``d``, objects ``g``.

    An instance has a stage ``s``, class ``c``, weight ``w``, box ``b`` (xywh), mask ``p`` (an SVG path) and, with annotations, the IoU
    ``o`` of its box with the best-overlapping object of its class. All in pixels of the small image.

    Args:
        size: (h, w) of the small image.
        devkit: with annotations; None for none.
    """
    name = image['img_id']
    found = [_known(store, name) for store in stores.values()]
    truth = devkit if devkit is not None and devkit.is_annotated(name) else None
    instances = []
    for stage, items in enumerate(found):
        overlaps = compare(items, truth, name).box_iou.tolist() if truth else [None] * len(items)
        for item, overlap in zip(items, overlaps, strict=True):
            entry = dict(s=stage, c=item['bbox_label'], w=round(item['weight'], 4), b=_box(item['bbox'], scale))
            entry |= dict(p=_path(draw(item['mask'], (image['height'], image['width'])), size))
            instances.append(entry if overlap is None else entry | dict(o=round(overlap, 3)))
    apart = [disagreement(a, b) for a, b in zip(found, found[1:])]
    entry = dict(n=name, h=size[0], w=size[1], t=list(tags), i=instances, d=round(float(np.mean(apart)), 3) if apart else 0.0)
    return entry | dict(g=_truth(truth, name, size, scale)) if truth else entry


def _image_file(image: Mapping, images: str | Path | None, devkit: Devkit | None) -> Path:
    if images is not None:
        return below(images, file_below(images, image))
    if devkit is None:
        raise ValueError('The folder of the images is unknown: pass it, or a devkit.')
    return devkit.image_path(image['img_id'])


def _known(store: PseudoLabelStore, name: str) -> list[dict]:
    try:
        return store.instances(name)
    except KeyError:  # a store with fewer images
        return []


def _classes(stores: Mapping[str, PseudoLabelStore]) -> list[str]:
    if not stores:
        raise ValueError('There is nothing to show: pass at least one label store.')
    lists = {stage: list(store.classes) for stage, store in stores.items()}
    first = next(iter(lists.values()))
    if other := [stage for stage, names in lists.items() if names != first]:
        raise ValueError(f'The stores have different classes: {first} and, in {other[0]!r}, {lists[other[0]]}.')
    return first


def _truth(devkit: Devkit, name: str, size: tuple[int, int], scale: float) -> list[dict]:
    objects, truth = devkit.objects(name), devkit.instance_masks(name)
    boxes = [dict(c=int(label), b=_box(box.tolist(), scale)) for box, label in zip(objects.bboxes, objects.labels, strict=True)]
    if truth is None:
        return boxes
    hidden = [-9.0, -9.0, 0.0, 0.0]  # VOC does not assign masks to boxes
    return [dict(c=int(c), b=hidden, p=_path(m, size)) for c, m in zip(truth.labels, truth.masks, strict=True)] + boxes


def _box(xyxy: Sequence[float], scale: float) -> list[float]:
    x1, y1, x2, y2 = (round(value * scale, 1) for value in xyxy)
    return [x1, y1, round(x2 - x1, 1), round(y2 - y1, 1)]


def _path(mask: NDArray, size: tuple[int, int]) -> str:
    """An SVG path of a mask at the small size, simplified below one pixel."""
    small = cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_AREA if size[0] < mask.shape[0] else cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    corners = [cv2.approxPolyDP(outline, 0.8, True)[:, 0] for outline in outlines]
    return ''.join('M' + 'L'.join(f'{x} {y}' for x, y in part.tolist()) + 'Z' for part in corners if len(part) > 2)
