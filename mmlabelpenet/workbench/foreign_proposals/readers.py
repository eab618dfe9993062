"""Read proposals of other programs: selective search, Edge Boxes, MCG and others, in ``.mat``, ``.npz`` and JSON files.

The box format cannot be inferred from the numbers alone, so it is specified
(:class:`~mmlabelpenet.workbench.foreign_proposals.layouts.BoxLayout`) and then checked against the images
(:mod:`~mmlabelpenet.workbench.foreign_proposals.importing`).

Shapes: R proposals of one image, (h, w) image. Our format: float32 xyxy in original pixels, 0-based and half-open.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mmlabelpenet.datasets.label_schema import Box
from mmlabelpenet.formats.file_names import below
from mmlabelpenet.formats.image_names import without_suffix
from mmlabelpenet.schema import convert, counted, decode_json, short
from mmlabelpenet.workbench.foreign_proposals.layouts import COCO, MATLAB, MATLAB_XYWH, PLAIN, BoxLayout
from mmlabelpenet.workbench.foreign_proposals.matlab import load_mat
from mmlabelpenet.workbench.foreign_proposals.npz import load_npz

BOXES = ('boxes', 'bboxes', 'bbs', 'all_boxes', 'proposals')  # usual variable names, tried in this order
IMAGES = ('images', 'image_ids', 'names', 'ids')
SCORES = ('scores', 'boxScores', 'bboxes_scores')


@dataclass(frozen=True)
class Foreign:
    """Unconverted proposals of a file.

    Attributes:
        boxes: numbers (R, 4) by image name.
        scores: numbers (R,) by image name, if available.
        layout: usual box format of this kind of file.
        named: whether the file has image names; otherwise its entries were assigned in the order of the list.
    """

    boxes: dict[str, NDArray]
    scores: dict[str, NDArray]
    layout: BoxLayout
    named: bool = True


def read_foreign(
    path: str | Path, image_ids: Sequence[str], boxes: str | None = None, images: str | None = None, scores: str | None = None
) -> Foreign:
    """Read proposals of another program.

    Args:
        path: ``.mat`` (v7 or older) with one cell per image, ``.npz`` with one array per image, JSON, or a folder with one ``.mat`` or
            ``.npz`` per image. Arrays are (R, 4), or (R, 5) with the score last.
        image_ids: the image list, also used as the order of entries if the file has no image names. Other images are ignored.
        boxes: variable of the boxes in a ``.mat``; None tries those of ``BOXES``.
        images: variable of the image names in a ``.mat``; None tries those of ``IMAGES``.
        scores: variable of the scores in a ``.mat``; None tries those of ``SCORES``.

    Raises:
        FileNotFoundError: no such file, or a folder without a file for some images.
        ValueError: the file has another format or shape, or no proposals for some images.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'Expected proposals at {str(path)!r}, but nothing is there.')
    names = _Names(boxes, images, scores)
    if path.is_dir():
        found = _read_folder(path, image_ids, names)
    elif path.suffix.lower() in _READERS:
        found = _READERS[path.suffix.lower()](path, image_ids, names)
    else:
        raise ValueError(f'Proposals are read from {", ".join(_READERS)} files and folders of them, got {str(path)!r}.')
    found = _by_image(found, image_ids, path)
    if missing := [image_id for image_id in image_ids if image_id not in found.boxes]:
        raise ValueError(
            f'{str(path)!r} has no proposals for {counted(len(missing), "image", of=len(image_ids))}, the first: {missing[0][:60]!r}; '
            f'it has {counted(len(found.boxes), "image")}, the first: {next(iter(found.boxes), "")[:60]!r}. Does it belong to another '
            'image list?'
        )
    return found


@dataclass(frozen=True)
class _Names:
    """Names of variables in a file, None to try the usual ones."""

    boxes: str | None
    images: str | None
    scores: str | None

    def pick(self, content: Mapping[str, Any], wanted: str | None, usual: Iterable[str], path: Path) -> Any:
        if wanted is not None and wanted not in content:
            raise ValueError(f'{str(path)!r} has no {wanted!r}, only {", ".join(sorted(content)) or "nothing"}.')
        return next((content[name] for name in ([wanted] if wanted else usual) if name in content), None)


def _read_mat(path: Path, image_ids: Sequence[str], names: _Names) -> Foreign:
    content = load_mat(path)
    cells = names.pick(content, names.boxes, BOXES, path)
    if cells is None:
        raise ValueError(
            f'{str(path)!r} has none of {", ".join(BOXES)}, but {", ".join(content) or "nothing"}. Specify the variable of the boxes.'
        )
    if cells.dtype != object:
        raise ValueError(
            f'The boxes of {str(path)!r} are one array {cells.shape}, expected one cell per image. For files of '
            'single images, pass their folder.'
        )
    cells = cells.ravel()
    known = names.pick(content, names.images, IMAGES, path)
    ids = list(image_ids) if known is None else [_image_id(name) for name in known.ravel()]
    if len(ids) != len(cells):
        what = 'the image list has' if known is None else 'it names'
        number = counted(len(cells), 'image')
        raise ValueError(f'{str(path)!r} has boxes of {number}, but {what} {len(ids)}. Does it belong to another image list?')
    scores = names.pick(content, names.scores, SCORES, path)
    rows = {
        image_id: _split(cell, None if scores is None else scores.ravel()[k], path) for k, (image_id, cell) in enumerate(zip(ids, cells))
    }
    return _foreign(
        rows,
        MATLAB_XYWH if names.boxes == 'bbs' or not {'boxes', 'bboxes'} & set(content) and 'bbs' in content else MATLAB,
        known is not None,
    )


def _read_npz(path: Path, image_ids: Sequence[str], names: _Names) -> Foreign:
    content = load_npz(path)
    if {'image_ids', 'offsets', 'checksum'} <= set(content):
        raise ValueError(f'{str(path)!r} is already a proposal file of this package. Use it in the config directly.')
    return _foreign({_image_id(name): _split(value, None, path) for name, value in content.items()}, PLAIN)


def _read_json(path: Path, image_ids: Sequence[str], names: _Names) -> Foreign:
    what = (
        f'{str(path)!r} is neither {{image: [[x1, y1, x2, y2], ...]}}, nor {{image: {{"boxes": ..., "scores": ...}}}}, nor a list of '
        '{"image_id", "bbox", "score"}'
    )
    content = decode_json(path.read_bytes(), list[_Result] | dict[str, list[list[float]] | dict[str, Any]], what)
    if isinstance(content, list):  # COCO's results
        return _coco_results(content, image_ids, path)
    rows = {}
    for name, value in content.items():
        boxes, scores = value, None
        if isinstance(value, dict):
            boxes, scores = names.pick(value, names.boxes, BOXES, path), names.pick(value, names.scores, SCORES, path)
            scores = convert(scores, list[float] | None, f'The scores of {short(name)} in {str(path)!r} are not numbers')
        boxes = convert(boxes, list[list[float]], f'The boxes of {short(name)} in {str(path)!r} are not lists of numbers')
        if len(set(map(len, boxes))) > 1:
            raise ValueError(f'The boxes of {short(name)} in {str(path)!r} have different lengths.')
        rows[_image_id(name)] = _split(np.array(boxes, np.float64), None if scores is None else np.array(scores, np.float64), path)
    return _foreign(rows, PLAIN)


class _Result(msgspec.Struct):
    """An entry of COCO's results."""

    image_id: str | int
    bbox: Box
    score: float = 1.0


def _coco_results(content: list[_Result], image_ids: Sequence[str], path: Path) -> Foreign:
    numbers = {int(image_id): image_id for image_id in image_ids if image_id.isdigit()}
    rows: dict[str, list[list[float]]] = {image_id: [] for image_id in image_ids}
    for entry in content:
        key = entry.image_id
        name = numbers.get(key, str(key)) if isinstance(key, int) else _image_id(key)
        rows.setdefault(name, []).append([*entry.bbox, entry.score])
    return _foreign({image_id: _split(np.array(found, np.float64), None, path) for image_id, found in rows.items() if found}, COCO)


_READERS: dict[str, Callable[[Path, Sequence[str], _Names], Foreign]] = {'.mat': _read_mat, '.npz': _read_npz, '.json': _read_json}


def _read_folder(path: Path, image_ids: Sequence[str], names: _Names) -> Foreign:
    rows, layout = {}, MATLAB
    for image_id in image_ids:
        files = (below(path, f'{image_id}{suffix}') for suffix in ('.mat', '.MAT', '.npz'))
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            raise FileNotFoundError(f'{str(path)!r} has no {image_id}.mat or {image_id}.npz. Each image of the list needs a file.')
        content = load_mat(file) if file.suffix.lower() == '.mat' else load_npz(file)
        boxes = names.pick(content, names.boxes, BOXES, file)
        if boxes is None:
            raise ValueError(
                f'{str(file)!r} has none of {", ".join(BOXES)}, but {", ".join(content) or "nothing"}. Specify the variable of the boxes.'
            )
        rows[image_id] = _split(boxes, names.pick(content, names.scores, SCORES, file), file)
        plain = MATLAB_XYWH if boxes is content.get('bbs') else MATLAB
        layout = plain if file.suffix.lower() == '.mat' else PLAIN
    return _foreign(rows, layout)


def _foreign(rows: Mapping[str, tuple[NDArray, NDArray | None]], layout: BoxLayout, named: bool = True) -> Foreign:
    scores = {image_id: score for image_id, (_, score) in rows.items() if score is not None}
    return Foreign({image_id: boxes for image_id, (boxes, _) in rows.items()}, scores, layout, named)


def _split(values: NDArray, scores: NDArray | None, path: Path) -> tuple[NDArray, NDArray | None]:
    """Boxes (R, 4) and scores (R,) or None of an array that may have them in a fifth column."""
    values = np.asarray(values)
    if values.size == 0:
        return np.zeros((0, 4)), None if scores is None else np.zeros(0)
    if values.ndim != 2 or values.shape[1] not in (4, 5) or values.dtype.kind not in 'iuf':
        raise ValueError(
            f'Boxes of an image must be numbers (R, 4), or (R, 5) with the score last, got {values.dtype} {values.shape} in {str(path)!r}.'
        )
    if scores is None and values.shape[1] == 5:
        scores = values[:, 4]
    if scores is not None and np.size(scores) != len(values):
        raise ValueError(f'{str(path)!r} has {counted(np.size(scores), "score")} for {counted(len(values), "box")} of an image.')
    return values[:, :4], None if scores is None else np.asarray(scores, np.float64).ravel()


def _image_id(name: Any) -> str:
    """Extract an image name, which may be wrapped in an array or be a path of any operating system."""
    while isinstance(name, np.ndarray) and name.size == 1:
        name = name.item()
    return PureWindowsPath(str(name).strip()).as_posix()


def _by_image(found: Foreign, image_ids: Sequence[str], path: Path) -> Foreign:
    """Proposals by the names of the image list: images are matched by path, ignoring preceding folders in the file."""
    wanted, names = set(image_ids), dict[str, str]()
    for name in found.boxes:
        parts = name.split('/')
        tails = ['/'.join(parts[first:]) for first in range(len(parts))]
        known = next((tried for tail in tails for tried in (tail, without_suffix(tail)) if tried in wanted), without_suffix(parts[-1]))
        if known in wanted and known in names:
            raise ValueError(f'{str(path)!r} has proposals for {known!r} twice, as {names[known]!r} and as {name!r}. Keep one.')
        names[known] = name
    scores = {image_id: found.scores[name] for image_id, name in names.items() if name in found.scores}
    return replace(found, boxes={image_id: found.boxes[name] for image_id, name in names.items()}, scores=scores)
