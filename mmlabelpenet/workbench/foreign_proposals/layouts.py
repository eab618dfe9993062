"""Box formats of other programs.

Shapes: R boxes. Our format: float64 xyxy in original pixels, 0-based and half-open.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDERS = ('yxyx', 'xyxy', 'xywh')


@dataclass(frozen=True)
class BoxLayout:
    """A box format.

    Attributes:
        order: ``'yxyx'``, ``'xyxy'`` or ``'xywh'``.
        first_pixel: index of the first pixel of an image, 1 in MATLAB.
        last_inside: whether x2 and y2 are the last pixel of a box instead of the one after it; does not affect widths and heights.

    Raises:
        ValueError: another order or first pixel.
    """

    order: str = 'yxyx'
    first_pixel: int = 1
    last_inside: bool = True

    def __post_init__(self) -> None:
        """Reject other formats."""
        if self.order not in ORDERS or self.first_pixel not in (0, 1):
            raise ValueError(f'Boxes must be {", ".join(ORDERS)} with first pixel 0 or 1, got {self.order!r} from {self.first_pixel!r}.')

    def xyxy(self, values: NDArray) -> NDArray[np.float64]:
        """Convert boxes to our format without checks, float64 (R, 4).

        >>> BoxLayout().xyxy(np.array([[1, 1, 10, 20]])).tolist(), BoxLayout('xywh', 0).xyxy(np.array([[2, 3, 10, 20]])).tolist()
        ([[0.0, 0.0, 20.0, 10.0]], [[2.0, 3.0, 12.0, 23.0]])
        """
        boxes = np.asarray(values, np.float64) - [self.first_pixel, self.first_pixel, 0, 0]
        if self.order == 'xywh':
            return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        boxes[:, 2:] += self.last_inside - self.first_pixel
        return boxes[:, [1, 0, 3, 2]] if self.order == 'yxyx' else boxes


MATLAB, MATLAB_XYWH, PLAIN, COCO = BoxLayout(), BoxLayout('xywh'), BoxLayout('xyxy', 0, False), BoxLayout('xywh', 0, False)
