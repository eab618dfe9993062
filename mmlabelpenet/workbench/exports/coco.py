"""Export pseudo labels in COCO format: one JSON file per split."""

import json
from collections.abc import Mapping
from pathlib import Path

from mmlabelpenet.progress import track
from mmlabelpenet.workbench.exports.images import export_names, place_images
from mmlabelpenet.workbench.exports.labels import Labels, decode, divide, has_mask, image_name
from mmlabelpenet.workbench.exports.polygons import cut_polygons


def write_coco(
    labels: Labels, out: Path, images: Path | None = None, val_share: float = 0.0, seed: int = 0, polygons: bool = False
) -> list[Path]:
    """Write ``train.json`` and, with a share, ``val.json``; images to ``images/`` if their folder is given.

    Each annotation keeps its weight and stage, which other programs ignore. An object with only a box gets the area of its box, because
    programs skip objects without area.

    Args:
        images: folder of the images; None writes only labels.
        val_share: fraction of the images for ``val.json``.
        polygons: write masks as polygons instead of RLE, which some programs do not support. They have no holes: an object with holes is
            split into polygons that cover it.

    Returns:
        the files.
    """
    written, names = [], export_names(labels.images, images)
    categories = [dict(id=index, name=name) for index, name in enumerate(labels.classes, 1)]
    for split, members in divide(labels, val_share, seed).items():
        notes = [_annotation(annotation, polygons) for image in track(members, 'labels') for annotation in labels.annotations[image['id']]]
        entries = [_image(image, names[image['id']]) for image in members]
        out.mkdir(parents=True, exist_ok=True)
        written.append(out / f'{split}.json')
        with written[-1].open('w', encoding='utf-8') as file:
            json.dump(dict(info={}, images=entries, annotations=notes, categories=categories), file, ensure_ascii=False)
        place_images(members, images, out / 'images', names)
    return written


def _image(image: Mapping, name: str) -> dict:
    """The store's entry with the exported and the original name; the hash of a possibly converted file is dropped."""
    return {key: value for key, value in image.items() if key != 'sha256'} | dict(file_name=name, image=image_name(image))


def _annotation(annotation: Mapping, polygons: bool) -> dict:
    if not has_mask(annotation):
        width, height = annotation['bbox'][2:]
        return dict(annotation, area=width * height) | (dict(segmentation=[]) if polygons else {})
    if not polygons:
        return dict(annotation)
    return dict(annotation, segmentation=[part.flatten().round(2).tolist() for part in cut_polygons(decode(annotation))])
