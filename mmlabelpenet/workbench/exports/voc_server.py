"""Write and check archives for the PASCAL VOC evaluation server, which alone has the annotations of the test lists.

======================  =============================================================================================
competition             members of the archive (``.tar.gz``), YEAR as in ``VOC2012``
======================  =============================================================================================
comp3, comp4            ``results/YEAR/Main/comp3_det_SPLIT_CLASS.txt``, one per class, lines ``image score x1 y1 x2 y2``
comp5, comp6            ``results/YEAR/Segmentation/comp5_SPLIT_cls/IMAGE.png``, palette images of class indices
======================  =============================================================================================

comp3 and comp5 are for methods trained only on VOC data; a network that starts from ImageNet weights belongs to comp4 and comp6.
Boxes in the files are 1-based with inclusive right and bottom edge, as the devkit requires; scores are not rounded.
"""

import gzip
import io
import lzma
import math
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import IO, NamedTuple

from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.coco_results import ResultsFile
from mmlabelpenet.evaluation.scoring import class_map
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.files import atomic_write
from mmlabelpenet.formats.images import read_indices
from mmlabelpenet.schema import counted, short
from mmlabelpenet.workbench.voc_files import label_image

DETECTION, SEGMENTATION = ('comp3', 'comp4'), ('comp5', 'comp6')
_LARGEST = 1 << 28  # maximum bytes of a member
_DETECTIONS = re.compile(r'results/(?P<year>VOC\d{4})/Main/(?P<competition>comp[34])_det_(?P<split>\w+?)_(?P<item>[a-z]+)\.txt')
_CLASS_MAP = re.compile(r'results/(?P<year>VOC\d{4})/Segmentation/(?P<competition>comp[56])_(?P<split>\w+)_cls/(?P<item>\w+)\.png')


class Submission(NamedTuple):
    """Content of an archive: its competition, year and split, and the number of detections or semantic maps."""

    competition: str
    year: str
    split: str
    entries: int


def write_submission(
    path: str | os.PathLike[str], competition: str, devkit: VOCDevkit, split: str, results: ResultsFile,
    year: str | None = None, score_thr: float = 0.3,
) -> Submission:  # fmt: skip
    """Write an archive, atomically, after reading it back and checking it.

    Args:
        path: must end in ``.tar.gz``.
        competition: 'comp3', 'comp4', 'comp5' or 'comp6'.
        devkit: with VOC's classes; only the image list and the sizes of images are read.
        split: image list; for comp5 and comp6 on VOC 2012, ``'Segmentation/test'``.
        year: such as 'VOC2012'; the name of the devkit's folder by default.
        score_thr: minimum score of an instance in a semantic map.

    Returns:
        A summary of the content.

    Raises:
        ValueError: unknown competition, another file extension or year, results with other classes or without the masks that a semantic map
            needs.
    """
    year = year or devkit.data_root.resolve().name
    if competition not in (*DETECTION, *SEGMENTATION):
        raise ValueError(f'The competition must be one of {", ".join((*DETECTION, *SEGMENTATION))}, got {competition!r}.')
    if not os.fspath(path).endswith('.tar.gz'):
        raise ValueError(f"An archive for the server must end in '.tar.gz', got {os.fspath(path)!r}.")
    if not re.fullmatch(r'VOC\d{4}', year):
        raise ValueError(f"The year must be like 'VOC2012', got {year!r}. Pass it explicitly.")
    if results.classes != VOC_CLASSES:
        raise ValueError("Submissions need VOC's 20 classes; the results have others.")
    if competition in SEGMENTATION and results.has_masks is False:
        raise ValueError(f'{competition} needs masks, but {str(results.path)!r} has none.')
    if competition in DETECTION:
        members = _detection_files(results, devkit.image_ids(split), f'results/{year}/Main/{competition}_det_{_name(split)}')
    else:
        members = _class_maps(results, devkit, split, f'results/{year}/Segmentation/{competition}_{_name(split)}_cls', score_thr)
    with atomic_write(path, 'wb') as file:
        with gzip.GzipFile(filename='', fileobj=file, mode='wb', mtime=0) as packed, tarfile.open(fileobj=packed, mode='w') as archive:
            for name, content in members:
                member = tarfile.TarInfo(name)  # time 0, no owner: the same results give an identical archive
                member.size, member.mode = len(content), 0o644
                archive.addfile(member, io.BytesIO(content))
        file.flush()
        return check_submission(file.name, devkit, split)


def _detection_files(results: ResultsFile, image_ids: Sequence[str], start: str) -> Iterator[tuple[str, bytes]]:
    files = [io.StringIO() for _ in VOC_CLASSES]
    for image_id in image_ids:
        found = results.prediction(image_id)
        for box, score, label in zip(found.bboxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True):
            left, top, right, bottom = box
            files[label].write(f'{image_id} {score!r} {left + 1!r} {top + 1!r} {right!r} {bottom!r}\n')
    for name, file in zip(VOC_CLASSES, files, strict=True):
        yield f'{start}_{name}.txt', file.getvalue().encode('ascii')


def _class_maps(results: ResultsFile, devkit: VOCDevkit, split: str, start: str, score_thr: float) -> Iterator[tuple[str, bytes]]:
    for image_id in devkit.image_ids(split):
        content = io.BytesIO()
        label_image(class_map(results.prediction(image_id), devkit.image_size(image_id), score_thr)).save(content, 'PNG')
        yield f'{start}/{image_id}.png', content.getvalue()


def check_submission(path: str | os.PathLike[str], devkit: VOCDevkit, split: str) -> Submission:
    """Read an archive like the server and check every member, without unpacking it to disk.

    Returns:
        A summary of the content.

    Raises:
        ValueError: the archive is invalid; names the member and line.
    """
    image_ids = devkit.image_ids(split)
    known, entries, seen, first = set(image_ids), 0, set(), None
    for name, content in _members(path):
        match = _DETECTIONS.fullmatch(name) or _CLASS_MAP.fullmatch(name)
        if match is None or name in seen:
            raise ValueError(f'{name!r} in {str(path)!r} {"appears twice" if match else "is not a result file known to the server"}.')
        seen.add(name)
        kind = (match['competition'], match['year'], match['split'])
        first = first or kind
        if kind != first or match['split'] != _name(split):
            raise ValueError(f'{name!r} in {str(path)!r} is of {" ".join(kind)}, expected {first[0]} {first[1]} {_name(split)}.')
        if match['competition'] in DETECTION:
            entries += _check_lines(name, match['item'], content, known)
        else:
            entries += _check_map(name, match['item'], content, known, devkit)
    if first is None:
        raise ValueError(f'{str(path)!r} is empty.')
    wanted = VOC_CLASSES if first[0] in DETECTION else image_ids
    start = f'{first[0]}_det_{_name(split)}_' if first[0] in DETECTION else ''
    present = {PurePosixPath(name).stem for name in seen}
    missing = [item for item in wanted if start + item not in present]
    if missing:
        raise ValueError(f'{str(path)!r} lacks {counted(len(missing), "file", of=len(wanted))}, the first for {missing[0]!r}.')
    return Submission(*first, entries)


def _name(split: str) -> str:
    """A split as named by the server, without the folder of its list."""
    return PurePosixPath(split).name


def _members(path: str | os.PathLike[str]) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path, 'r:*') as archive:
            for member in archive:
                if member.isdir():
                    continue
                file: IO[bytes] | None = archive.extractfile(member) if member.isreg() else None
                if file is None:
                    raise ValueError(f'{member.name!r} in {str(path)!r} is not a plain file.')
                if member.size > _LARGEST:
                    raise ValueError(
                        f'{short(member.name)} in {str(path)!r} has a declared size of {member.size} bytes, larger than any result.'
                    )
                yield member.name.removeprefix('./'), file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f'{str(path)!r} is not a valid archive: {short(" ".join(str(error).split()), 200)}.') from error


def _check_lines(name: str, label: str, content: bytes, known: set[str]) -> int:
    if label not in VOC_CLASSES:
        raise ValueError(f'{name!r} is for {label!r}, which is not a class of VOC.')
    lines = content.decode('ascii', errors='replace').splitlines()
    for number, line in enumerate(lines, 1):
        image_id, *texts = line.split()
        try:
            numbers = [float(text) for text in texts]
        except ValueError:
            numbers = []
        if len(numbers) != 5 or not all(map(math.isfinite, numbers)):
            raise ValueError(f'Line {number} of {name!r} should be "image score x1 y1 x2 y2", got {line!r}.')
        if image_id not in known:
            raise ValueError(f'Line {number} of {name!r} names {image_id!r}, which is not an image of the split.')
        _, left, top, right, bottom = numbers
        if right < left - 1 or bottom < top - 1:  # a half-open box without width ends one pixel before it begins
            raise ValueError(f'Line {number} of {name!r} has a box that ends before it begins: {line!r}.')
    return len(lines)


def _check_map(name: str, image_id: str, content: bytes, known: set[str], devkit: VOCDevkit) -> int:
    if image_id not in known:
        raise ValueError(f'{name!r} is for an image that is not in the split.')
    values = read_indices(name, content)
    if values.shape != devkit.image_size(image_id):
        raise ValueError(f'{name!r} has the size {values.shape}, the image {devkit.image_size(image_id)} (h, w).')
    if values.max(initial=0) > len(VOC_CLASSES):
        raise ValueError(f'{name!r} contains the value {values.max()}; classes are 1..{len(VOC_CLASSES)}, background is 0.')
    return 1
