"""Results of the inferencer: detections of one stage in one image.

Shapes: n instances, C classes, (h, w) image. Boxes: float32 xyxy in pixels of the image, half-open. Images: RGB uint8 (h, w, 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmlabelpenet.formats.rle import EncodedMasks, encoded

RANKED_SHOWN = 5


@dataclass(frozen=True)
class Prediction:
    """Detections, sorted by descending score.

    Attributes:
        image_id: path of the file below the common folder of all files of the call, without extension if that is unique; ``array_<k>`` if
            the k-th input is an array.
        path: the file; None for an array.
        size: (h, w).
        stage: the stage that predicted it.
        classes: names in label order.
        bboxes: float32 (n, 4).
        scores: float32 (n,).
        labels: int64 (n,).
        masks: sequence of bool (h, w); ``np.asarray`` converts it to one array (n, h, w), which takes gigabytes for a large image. None if
            only boxes were requested.
    """

    image_id: str
    path: Path | None
    size: tuple[int, int]
    stage: str
    classes: tuple[str, ...]
    bboxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: Sequence[NDArray[np.bool_]] | None = None

    def __len__(self) -> int:
        """Number of instances."""
        return len(self.scores)

    @property
    def names(self) -> list[str]:
        """Class name of each instance."""
        return [self.classes[label] for label in self.labels]

    @property
    def semantic(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Semantic map, uint8 (h, w), or uint16 for more than 254 classes: 0 is background, 1 + k is class k; where instances overlap, the
        highest score wins.

        Raises:
            ValueError: there are no masks.
        """
        values = np.append(0, self.labels + 1)
        return values.astype(np.uint8 if len(self.classes) <= 254 else np.uint16)[self.numbered]

    @cached_property
    def numbered(self) -> NDArray[np.uint16]:
        """Instance map, uint16 (h, w): 0 is background, k the k-th instance, counted from 1; where instances overlap, the highest score
        wins.

        Raises:
            ValueError: there are no masks.
        """
        masks = self._masks()
        return (masks if isinstance(masks, EncodedMasks) else EncodedMasks(list(map(encoded, masks)), self.size)).numbered()

    def draw(self, image: NDArray[np.uint8] | Image.Image | None = None, scale: float = 1.0) -> NDArray[np.uint8]:
        """The image with boxes, masks, classes and scores.

        Args:
            image: RGB or greyscale, or a Pillow image; None reads the file.
            scale: scale factor of the result, above 0.

        Raises:
            ValueError: the input was an array and is not given, the image has another size or dtype, or the scale is not above 0.
        """
        from mmlabelpenet.apis.image_inputs import checked_array
        from mmlabelpenet.formats.images import read_rgb
        from mmlabelpenet.visualization.drawing import class_colours, draw_instances

        if image is None and self.path is None:
            raise ValueError('The input of this prediction was an array, so pass it to draw(image).')
        if not 0 < scale < float('inf'):
            raise ValueError(f'scale must be above 0, got {scale!r}.')
        image = read_rgb(self.path) if image is None else checked_array(image)
        if image.shape[:2] != self.size:
            raise ValueError(f'The prediction is for an image of size {self.size} (h, w), got {image.shape[:2]}.')
        captions = [f'{name} {score:.2f}' for name, score in zip(self.names, self.scores, strict=True)]
        return draw_instances(image, self.bboxes, class_colours(len(self.classes))[self.labels], captions, self.masks, scale)

    def _masks(self) -> Sequence[NDArray[np.bool_]]:
        if self.masks is None:
            raise ValueError('There are no masks: only boxes were predicted. Predict with with_masks=True.')
        return self.masks


def worth_showing(scores: NDArray, min_score: float, ranks: bool = False) -> NDArray[np.int64]:
    """Indices of the detections with a score of at least ``min_score``.

    Scores of a stage that learns from tags rank the proposals of an image and are not probabilities: for these, the threshold is
    ``min_score`` times the best score of the image, and at most five detections are kept.

    Args:
        scores: float (n,), in descending order.
        min_score: in [0, 1].
        ranks: whether the scores rank proposals.

    >>> worth_showing(np.array([0.9, 0.2]), 0.3).tolist()
    [0]
    >>> worth_showing(np.array([0.02, 0.01]), 0.3, ranks=True).tolist()
    [0, 1]
    """
    limit = min_score * scores.max(initial=0) if ranks else min_score
    return np.flatnonzero((scores >= limit) & (scores > 0))[: RANKED_SHOWN if ranks else None]
