"""Pseudo labels in the formats of other programs: COCO, YOLO, VOC, LabelMe."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mmlabelpenet.workbench.exports.coco import write_coco
from mmlabelpenet.workbench.exports.folder import replace_files
from mmlabelpenet.workbench.exports.labelme import write_labelme
from mmlabelpenet.workbench.exports.labels import Labels, file_below
from mmlabelpenet.workbench.exports.voc import write_voc
from mmlabelpenet.workbench.exports.yolo import write_yolo

WRITERS: dict[str, Callable[..., list[Path]]] = dict(coco=write_coco, yolo=write_yolo, voc=write_voc, labelme=write_labelme)


def write_export(kind: str, labels: Labels, out: Path, images: Path | None, **options: object) -> list[str]:
    """Write labels for another program, replacing an earlier export; if it fails, the earlier export is unchanged.

    Args:
        kind: one of ``WRITERS``.

    Returns:
        names of LabelMe files that were kept because they were corrected by hand.

    Raises:
        FileExistsError: a file that is not from an earlier export, or has been changed, is in the way.
        FileNotFoundError: images are missing.
        ValueError: the format does not support the labels, or they do not match the images.
    """
    if images is not None:
        labels = replace(labels, images=[image | dict(file_name=file_below(images, image)) for image in labels.images])
    corrected = kind == 'labelme'
    return replace_files(
        out, lambda folder: WRITERS[kind](labels, folder, images, **options), lambda name: corrected and name.endswith('.json')
    )
