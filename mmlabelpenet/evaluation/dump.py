"""Write predictions as COCO-format results during evaluation; ``coco_results`` reads them back without loss.

Every rank appends its images to a hidden file per stage next to the target; at the end the first rank merges them in the order of the
split. Memory holds one image at a time.
"""

import json
import os
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..files import atomic_write, make_folder
from .devkit import ResultNames
from .scoring import Prediction


def dump_path(path: str | os.PathLike[str], stage: str, stages: Sequence[str]) -> Path:
    """The results file of a stage: the path itself if it is the only stage, else with the stage's name before the extension.

    >>> dump_path('out/results.json', 'detection', ['detection']).as_posix()
    'out/results.json'
    >>> dump_path('out/results.json', 'detection', ['detection', 'segmentation']).as_posix()
    'out/results.detection.json'
    """
    path = Path(path)
    return path if len(stages) == 1 else path.with_name(f'{path.stem}.{stage}{path.suffix}')


def entries(image_id: str, prediction: Prediction, names: ResultNames) -> list[dict[str, Any]]:
    """COCO-format results of one image, scores and boxes unrounded.

    Args:
        image_id: name of the image.
        prediction: boxes xyxy in original pixels.
        names: ids of images and classes in results, classes in label order.

    Returns:
        One dict per instance: ``image_id``, ``category_id``, ``category_name``, ``bbox`` [x, y, w, h], ``score``, and ``segmentation`` if
        there are masks.

    >>> import numpy as np
    >>> one = Prediction(np.array([[1.0, 2, 4, 6]]), np.array([0.5]), np.array([0]))
    >>> entries('a', one, ResultNames({'a': 'a'}, {'cat': 1}))
    [{'image_id': 'a', 'category_id': 1, 'category_name': 'cat', 'bbox': [1.0, 2.0, 3.0, 4.0], 'score': 0.5}]
    """
    found, classes = [], list(names.classes.items())
    masks = prediction.masks or [None] * len(prediction.labels)
    for box, score, label, mask in zip(
        prediction.bboxes.tolist(), prediction.scores.tolist(), prediction.labels.tolist(), masks, strict=True
    ):
        left, top, right, bottom = box
        name, number = classes[label]
        entry: dict[str, Any] = {'image_id': names.images[image_id], 'category_id': number, 'category_name': name}
        entry |= {'bbox': [left, top, right - left, bottom - top], 'score': score}
        if mask is not None:
            counts = mask['counts']
            counts = counts.decode('ascii') if isinstance(counts, bytes) else counts
            entry['segmentation'] = {'size': [int(side) for side in mask['size']], 'counts': counts}
        found.append(entry)
    return found


class Dump:
    """Collects results of several stages and writes them to files.

    Args:
        path: the file, or its pattern for several stages (:func:`dump_path`).
        stages: stages that may predict.
        rank: rank of this process.
    """

    def __init__(self, path: str | os.PathLike[str], stages: Sequence[str], rank: int = 0) -> None:
        self.path, self.stages, self.rank = Path(path), tuple(stages), rank
        self._begun: set[str] = set()

    def add(self, stage: str, image_id: str, prediction: Prediction, names: ResultNames) -> None:
        """Store the predictions of a stage for one image; if the image occurs again, its predictions are replaced.

        Args:
            stage: one of the stages.
            image_id: name of the image.
            prediction: in pixels of the original image.
            names: as for :func:`entries`.

        Raises:
            ValueError: a box is not finite.
        """
        lines = (json.dumps(entry, allow_nan=False) for entry in entries(image_id, prediction, names))
        text, part = f'{image_id}\t{", ".join(lines)}\n', self._part(stage, self.rank)
        if stage not in self._begun:
            make_folder(part.parent)
            part.unlink(missing_ok=True)
            weakref.finalize(self, part.unlink, missing_ok=True)  # also if testing fails
            self._begun.add(stage)
        with part.open('a', encoding='utf-8') as file:
            file.write(text)

    def finish(self, image_ids: Iterable[str], num_ranks: int = 1) -> list[Path]:
        """Merge the results of all ranks; called by the first rank when all have finished.

        Args:
            image_ids: the split; its order is that of the files.
            num_ranks: number of processes.

        Returns:
            The files, one per stage that predicted, written atomically.
        """
        image_ids, written = list(image_ids), []
        for stage in self.stages:
            parts = [part for rank in range(num_ranks) if (part := self._part(stage, rank)).exists()]
            if parts:
                written.append(dump_path(self.path, stage, self.stages))
                _join(parts, image_ids, written[-1])
        return written

    def _part(self, stage: str, rank: int) -> Path:
        target = dump_path(self.path, stage, self.stages)
        return target.with_name(f'.{target.name}.rank{rank}')


def _join(parts: Sequence[Path], image_ids: Iterable[str], target: Path) -> None:
    places: dict[str, tuple[int, int]] = {}
    for number, part in enumerate(parts):
        with part.open('rb') as file:
            start = 0
            for line in file:
                places[line[: line.index(b'\t')].decode()] = (number, start)
                start += len(line)
    files = [part.open('rb') for part in parts]
    try:
        with atomic_write(target, 'wb') as out:
            mark = b'['
            for number, start in (places[image_id] for image_id in image_ids if image_id in places):
                files[number].seek(start)
                line = files[number].readline()
                content = line[line.index(b'\t') + 1 : -1]
                if content:
                    out.write(mark + content)
                    mark = b',\n'
            out.write(b'[]\n' if mark == b'[' else b']\n')
    finally:
        for file in files:
            file.close()
