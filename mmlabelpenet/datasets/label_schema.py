"""The schema of complete and partial label stores.

There are hundreds of thousands of these objects without reference cycles, so the garbage collector skips them.
"""

from typing import Annotated, Any

import msgspec

from mmlabelpenet.schema import Size

Side = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
"""Height or width of an image; 0 if it could not be read."""
Box = tuple[float, float, float, float]
Weight = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Code(msgspec.Struct, gc=False):
    """A run-length code."""

    size: tuple[Size, Size]
    counts: str | list[int]


class Category(msgspec.Struct, gc=False):
    """A class; its id is specific to the store."""

    id: int
    name: str


class Image(msgspec.Struct, gc=False):
    """An image of the store; ``sha256`` is that of its file."""

    id: int
    img_id: str
    file_name: str | None = None
    height: Side | None = None
    width: Side | None = None
    sha256: str | None = None


class Annotation(msgspec.Struct, gc=False):
    """A pseudo instance; ``bbox`` is xywh."""

    image_id: int
    category_id: int
    bbox: Box
    weight: Weight
    segmentation: Code | list[list[float]] | None = None
    id: int | None = None
    area: float | None = None
    iscrowd: int | None = None
    stage: str | None = None


class Store(msgspec.Struct):
    """A complete store."""

    info: dict[str, Any]
    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


class LineInstance(msgspec.Struct, gc=False):
    """A pseudo instance in a line; ``bbox`` is xywh, ``label`` counts from 0."""

    bbox: Box
    label: Annotated[int, msgspec.Meta(ge=0)]
    weight: Weight
    rle: Code


class Line(msgspec.Struct, gc=False):
    """An image in a partial store."""

    img_id: str
    file_name: str
    height: Side
    width: Side
    instances: list[LineInstance]
    sha256: str | None
