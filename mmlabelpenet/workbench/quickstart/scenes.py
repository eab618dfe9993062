"""Drawing of the rendered data set: two-coloured figures on cluttered backgrounds.

A figure is a head and a foot with a broad collar between them. Two heads times two feet make the four classes: each part appears in two
classes or in all, every part takes every colour, and the collar separates head and foot, so that only the whole figure determines its
class:

=====  ============  ==================
class  head          foot
=====  ============  ==================
lolly  disc          bar
cone   disc          pointed triangle
tree   triangle      bar
kite   triangle      pointed triangle
=====  ============  ==================

Shapes: (h, w) image, K figures. Drawing is done at twice the size and averaged. Points are float (x, y) pixels.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mmlabelpenet.workbench.quickstart.painting import PALETTE, bright, fill, light, muted, paint, pattern, pick, random_polygon

RENDERED_CLASSES = ('lolly', 'cone', 'tree', 'kite')

_HEADS = ('disc', 'triangle')
_FEET = ('bar', 'point')
_SCALE = 2  # drawing size / image size


@dataclass(frozen=True)
class RenderSettings:
    """Content and difficulty of the rendered images."""

    num_train: int = 320  # images of the split train
    num_test: int = 100  # images of the split test
    seed: int = 0  # the same seed and settings give identical files
    height: int = 240  # of an image, in pixels
    width: int = 320  # of an image, in pixels
    max_objects: int = 4  # maximum number of figures per image
    min_size: int = 60  # minimum height of an upright figure in pixels
    max_size: int = 170  # maximum height of an upright figure in pixels
    max_angle: float = 35.0  # maximum rotation of figures in degrees, in both directions
    min_visible: float = 0.7  # minimum visible fraction of each figure, and of its head and foot
    occluder_prob: float = 0.15  # probability of clutter in front of a figure
    num_polygons: int = 14  # polygons behind the figures
    num_fragments: int = 1  # maximum number of single heads and feet, unlabelled, behind the figures
    bright_clutter: float = 0.0  # probability that a background polygon has a colour of the figures
    light: float = 0.5  # strength of the variation of brightness, tint and shadow: 0 none, 1 strong
    noise: int = 14  # maximum amplitude of the pixel noise in grey levels
    texture: float = 0.6  # strength of the pattern on figures and background: 0 none

    def __post_init__(self) -> None:
        """Reject invalid settings."""
        for name in ('num_train', 'num_test', 'max_objects', 'min_size'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, got {getattr(self, name)}.')
        longest = 0.95 * min(self.height, self.width)
        if not self.min_size <= self.max_size <= longest:
            raise ValueError(
                f'Figure sizes need min_size <= max_size <= {longest:.0f} (95 % of the shorter image side), '
                f'got {self.min_size} and {self.max_size}.'
            )
        if not 0 <= self.min_visible < 1:
            raise ValueError(f'min_visible must be in [0, 1), got {self.min_visible}.')
        if self.num_polygons < 0 or self.num_fragments < 0 or self.noise < 0:
            raise ValueError('num_polygons, num_fragments and noise must not be negative.')


@dataclass(frozen=True)
class Scene:
    """One rendered image with its ground truth.

    Attributes:
        image: uint8 (h, w, 3), BGR.
        labels: int64 (K,), index into ``RENDERED_CLASSES``.
        instances: uint8 (h, w), 0 background, 1 + k where figure k is visible.
        visible: float32 (K,), visible fraction of each figure.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int64]
    instances: NDArray[np.uint8]
    visible: NDArray[np.float32]


def part_outline(part: str) -> NDArray[np.float32]:
    """Outline of a part in the frame of an upright figure of height 1 centred at 0, float32 (n, 2).

    Raises:
        ValueError: no such part.

    >>> part_outline('bar').tolist()[0]
    [-0.12999999523162842, 0.14000000059604645]
    """
    if part == 'disc':
        turn = [2 * math.pi * k / 40 for k in range(40)]
        return np.array([(0.27 * math.cos(t), -0.27 + 0.23 * math.sin(t)) for t in turn], np.float32)
    corners = {
        'triangle': [(0, -0.5), (0.35, -0.06), (-0.35, -0.06)],
        'collar': [(-0.3, -0.08), (0.3, -0.08), (0.3, 0.16), (-0.3, 0.16)],
        'bar': [(-0.13, 0.14), (0.13, 0.14), (0.13, 0.5), (-0.13, 0.5)],
        'point': [(-0.3, 0.14), (0.3, 0.14), (0, 0.5)],
    }
    if part not in corners:
        raise ValueError(f'Expected one of disc, {", ".join(corners)}, got {part!r}.')
    return np.array(corners[part], np.float32)


def class_parts(label: int) -> tuple[str, str, str]:
    """Head, foot and collar of a class, in the order of drawing.

    >>> class_parts(RENDERED_CLASSES.index('kite'))
    ('triangle', 'point', 'collar')
    """
    return _HEADS[label // 2], _FEET[label % 2], 'collar'


@dataclass(frozen=True)
class _Figure:
    """A drawn figure: its label, and the masks of the whole figure, head and foot without occlusion, each bool (h, w)."""

    label: int
    regions: tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]


def render_scene(rng: np.random.Generator, settings: RenderSettings) -> Scene:
    """Draw one image: background, fragments, figures, occluders, lighting and noise.

    Returns:
        The scene, with one to ``settings.max_objects`` figures, of which each is visible by at least ``settings.min_visible``.
    """
    size = (settings.height * _SCALE, settings.width * _SCALE)
    # Figures and background share the same patterns, so that texture does not reveal figures.
    patterns = [pattern(rng, size, settings.texture) for _ in range(5)]
    canvas = np.zeros((*size, 3), np.uint8)
    _draw_background(rng, settings, canvas, patterns)
    for _ in range(int(rng.integers(settings.num_fragments + 1))):
        _draw_fragment(rng, settings, canvas, patterns)
    figures, owner = _draw_figures(rng, settings, canvas, patterns)
    _draw_occluders(rng, settings, canvas, owner, figures, patterns)
    image = light(rng, cv2.resize(canvas, (settings.width, settings.height), interpolation=cv2.INTER_AREA), settings.light, settings.noise)
    visible = [np.count_nonzero(owner == k + 1) / np.count_nonzero(figure.regions[0]) for k, figure in enumerate(figures)]
    labels = np.array([figure.label for figure in figures], np.int64)
    return Scene(image, labels, owner[::_SCALE, ::_SCALE].copy(), np.array(visible, np.float32))


def _draw_background(
    rng: np.random.Generator, settings: RenderSettings, canvas: NDArray[np.uint8], patterns: list[NDArray[np.float32]]
) -> None:
    h, w = canvas.shape[:2]
    paint(canvas, np.array([(-9, -9), (w + 9, -9), (w + 9, h + 9), (-9, h + 9)], np.float32), muted(rng), pick(rng, patterns))
    for _ in range(settings.num_polygons):
        outline = random_polygon(rng, rng.uniform(0, 1, 2) * (w, h), rng.uniform(10, 75) * _SCALE)
        colour = bright(rng) if rng.uniform() < settings.bright_clutter else muted(rng)
        paint(canvas, outline, colour, pick(rng, patterns))


def _pose(rng: np.random.Generator, settings: RenderSettings, height: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A random rotation, scale and position: matrix (2, 2) and shift (2,) from the figure's frame to the canvas."""
    angle = math.radians(rng.uniform(-settings.max_angle, settings.max_angle))
    stretch = np.diag([height * rng.uniform(0.85, 1.2), height])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = turn @ stretch
    corners = np.array([(x, y) for x in (-0.36, 0.36) for y in (-0.5, 0.5)]) @ matrix.T
    reach = np.minimum(np.abs(corners).max(0), np.array([settings.width, settings.height]) * _SCALE / 2)
    room = np.array([settings.width, settings.height]) * _SCALE - 2 * reach
    return matrix.astype(np.float32), (reach + rng.uniform(0, 1, 2) * room).astype(np.float32)


def _draw_fragment(
    rng: np.random.Generator, settings: RenderSettings, canvas: NDArray[np.uint8], patterns: list[NDArray[np.float32]]
) -> None:
    """A single part, with or without its collar, which resembles a figure if only parts are considered."""
    matrix, shift = _pose(rng, settings, rng.uniform(0.7 * settings.min_size, 0.5 * settings.max_size) * _SCALE)
    parts = [(*_HEADS, *_FEET)[rng.integers(4)]]
    if rng.uniform() < 0.5:
        parts.append('collar')
    shade = pick(rng, patterns)
    for part in parts:
        paint(canvas, part_outline(part) @ matrix.T + shift, bright(rng), shade)


def _draw_figures(
    rng: np.random.Generator, settings: RenderSettings, canvas: NDArray[np.uint8], patterns: list[NDArray[np.float32]]
) -> tuple[list[_Figure], NDArray[np.uint8]]:
    """Draw figures on top of each other; returns them and the map of visible figures."""
    owner = np.zeros(canvas.shape[:2], np.uint8)
    figures: list[_Figure] = []
    for _ in range(int(rng.integers(1, settings.max_objects + 1))):
        label = int(rng.integers(len(RENDERED_CLASSES)))
        for _ in range(20):
            matrix, shift = _pose(rng, settings, rng.uniform(settings.min_size, settings.max_size) * _SCALE)
            outlines = [part_outline(part) @ matrix.T + shift for part in class_parts(label)]
            head, foot, collar = (fill(outline, owner.shape) for outline in outlines)
            whole = head | foot | collar
            after = np.where(whole, np.uint8(len(figures) + 1), owner)
            if _all_visible(after, figures, settings.min_visible):
                figures.append(_Figure(label, (whole, head & ~collar, foot & ~collar)))
                owner = after
                _paint_figure(rng, canvas, outlines, pick(rng, patterns))
                break
    return figures, owner


def _all_visible(owner: NDArray[np.uint8], figures: list[_Figure], share: float) -> bool:
    """Whether enough of every figure, its head and its foot is visible."""
    for k, figure in enumerate(figures):
        for region in figure.regions:
            if np.count_nonzero(owner[region] == k + 1) < share * np.count_nonzero(region):
                return False
    return True


def _paint_figure(
    rng: np.random.Generator, canvas: NDArray[np.uint8], outlines: list[NDArray[np.float32]], shade: NDArray[np.float32]
) -> None:
    """Two clearly distinct colours, independent of the class: one for head and collar, one for the foot."""
    first = int(rng.integers(len(PALETTE)))
    second = (first + int(rng.integers(2, len(PALETTE) - 1))) % len(PALETTE)
    for outline, k in zip(outlines, (first, second, first)):
        paint(canvas, outline, np.clip(PALETTE[k] + rng.uniform(-18, 18, 3), 0, 255).astype(np.float32), shade)


def _draw_occluders(
    rng: np.random.Generator,
    settings: RenderSettings,
    canvas: NDArray[np.uint8],
    owner: NDArray[np.uint8],
    figures: list[_Figure],
    patterns: list[NDArray[np.float32]],
) -> None:
    """Draw dull polygons over the borders of figures; skip those that would hide too much of any figure."""
    for k, figure in enumerate(figures):
        if rng.uniform() >= settings.occluder_prob:
            continue
        ys, xs = np.nonzero(owner == k + 1)
        at = rng.integers(len(xs))
        middle = np.array([xs.mean(), ys.mean()])
        outline = random_polygon(
            rng, middle + 1.4 * (np.array([xs[at], ys[at]]) - middle), 0.42 * math.sqrt(np.count_nonzero(figure.regions[0]))
        )
        after = np.where(fill(outline, owner.shape), np.uint8(0), owner)
        if _all_visible(after, figures, settings.min_visible):
            owner[...] = after
            paint(canvas, outline, muted(rng), pick(rng, patterns))
