"""Create a VOC devkit with downscaled images for transfer to another machine; run by ``tools/gpu_bundle.sh``."""

import shutil
from pathlib import Path
from xml.etree.ElementTree import Element, tostring

import numpy as np
from PIL import Image

from mmlabelpenet.files import atomic_folder, file_hash
from mmlabelpenet.formats.tag_files import parse_xml
from mmlabelpenet.options import Parser
from mmlabelpenet.terminal import run
from mmlabelpenet.workbench.gpu_check.training import devkit_splits

LONGEST, QUALITY = 400, 80
MASKS = ('SegmentationClass', 'SegmentationObject')


def shrink_devkit(root: Path, small: Path, longest: int = LONGEST) -> int:
    """Copy the images of the training and test lists, downscaled, with matching annotations, masks and proposals.

    Args:
        root: devkit with ``proposals/<split>.npz`` for both lists.
        small: folder of the copy; it must not exist.
        longest: maximum longer side in pixels; smaller images keep their size.

    Returns:
        the number of images.

    Raises:
        FileNotFoundError: the devkit has no known pair of lists, or no proposals.
    """
    from mmlabelpenet.datasets.proposals import ProposalFile, ProposalRecord
    from mmlabelpenet.workbench.proposal_writer import write_proposals

    splits = devkit_splits(root)
    files = {split: ProposalFile(root / f'proposals/{split}.npz', root, split) for split in splits}
    with atomic_folder(small) as folder:
        shutil.copytree(root / 'ImageSets', folder / 'ImageSets')
        sizes = {}
        for name in sorted({name for file in files.values() for name in file.image_ids}):
            sizes[name] = _image(root, folder, name, longest)
        for split, file in files.items():
            records = []
            for name in file.image_ids:
                (height, width), (w, h) = sizes[name]
                bboxes, scores = file.get(name)
                scaled = np.clip(bboxes * (w / width, h / height, w / width, h / height), 0, (w, h, w, h)).astype(np.float32)
                records.append(ProposalRecord(name, (h, w), scaled, scores, file_hash(folder / f'JPEGImages/{name}.jpg')))
            write_proposals(folder / f'proposals/{split}.npz', records, file.settings)
    return len(sizes)


def _image(root: Path, folder: Path, name: str, longest: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Write one image with its annotations; returns its old (h, w) and its new (w, h)."""
    with Image.open(root / f'JPEGImages/{name}.jpg') as image:
        old = image.size
        factor = min(1.0, longest / max(old))
        new = (max(1, round(old[0] * factor)), max(1, round(old[1] * factor)))
        _save(image.convert('RGB').resize(new, Image.Resampling.BOX), folder / f'JPEGImages/{name}.jpg', quality=QUALITY)
    for kind in MASKS:
        if (path := root / kind / f'{name}.png').exists():
            with Image.open(path) as mask:
                _save(mask.resize(new, Image.Resampling.NEAREST), folder / kind / f'{name}.png', optimize=True)
    if (path := root / f'Annotations/{name}.xml').exists():
        tree = parse_xml(path)
        _scale(tree, new[0] / old[0], new[1] / old[1], new)
        (folder / 'Annotations').mkdir(exist_ok=True)
        (folder / f'Annotations/{name}.xml').write_bytes(tostring(tree))
    return (old[1], old[0]), new


def _save(image: Image.Image, path: Path, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def _scale(tree: Element, x: float, y: float, size: tuple[int, int]) -> None:
    """Rescale the size and every box of an annotation; boxes stay inside the image and at least one pixel large (1-based, inclusive)."""
    for key, value in zip(('width', 'height'), size, strict=True):
        for node in tree.findall(f'size/{key}'):
            node.text = str(value)
    for box in tree.iter('bndbox'):
        for axis, factor, most in (('x', x, size[0]), ('y', y, size[1])):
            low, high = (float(box.findtext(f'{axis}{end}', '1')) for end in ('min', 'max'))
            first = min(max(1, round((low - 1) * factor) + 1), most)
            values = dict(min=first, max=min(max(first, round(high * factor)), most))
            for end, value in values.items():
                node = box.find(f'{axis}{end}')
                if node is not None:
                    node.text = str(value)


def main() -> None:
    """Read the command line and copy."""
    parser = Parser(description=__doc__)
    parser.add_argument('devkit', type=Path)
    parser.add_argument('small', type=Path)
    args = parser.parse_args()
    shrink_devkit(args.devkit, args.small)


if __name__ == '__main__':
    run(main)
