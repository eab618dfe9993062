"""Drawing of the rendered data set: two-coloured figures on cluttered backgrounds.

A figure is a head over a collar over a foot. Two heads times two feet make the four classes, so that each part stands in two classes, every
part takes every colour, and only the whole figure tells its class:

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

RENDERED_CLASSES = ('lolly', 'cone', 'tree', 'kite')

_HEADS = ('disc', 'triangle')
_FEET = ('bar', 'point')
# BGR, of nearly equal strength, so that no colour is an outlier.
_PALETTE = np.array(
    [(50, 50, 215), (40, 150, 240), (50, 215, 235), (70, 180, 60), (215, 190, 50), (215, 90, 50), (190, 70, 190)], np.float32
)
_SCALE = 2  # drawing size / image size
_SHIFT = 4  # fractional bits of the polygon points


@dataclass(frozen=True)
class RenderSettings:
    """What is rendered and how hard it is.

    Attributes:
        num_train: images of the split ``train``.
        num_test: images of the split ``test``.
        seed: the same seed and settings give the same bytes.
        height: of an image in pixels.
        width: of an image in pixels.
        max_objects: one to this many figures an image.
        min_size: shortest height of an upright figure in pixels.
        max_size: longest height of an upright figure in pixels.
        max_angle: figures are turned by up to this many degrees either way.
        min_visible: every figure shows at least this share of its area.
        occluder_prob: chance of a figure to have a piece of clutter in front of it.
        num_polygons: polygons behind the figures.
        num_fragments: at most this many lone heads and feet, unlabelled, behind the figures.
        bright_clutter: chance of a background polygon to take a colour of the figures.
        light: strength of the variation of brightness, tint and shadow, 0 none, 1 strong.
        noise: largest amplitude of the pixel noise in grey levels.
        texture: strength of the pattern on figures and background, 0 none.
    """

    num_train: int = 320
    num_test: int = 100
    seed: int = 0
    height: int = 240
    width: int = 320
    max_objects: int = 4
    min_size: int = 50
    max_size: int = 170
    max_angle: float = 35.0
    min_visible: float = 0.6
    occluder_prob: float = 0.35
    num_polygons: int = 26
    num_fragments: int = 5
    bright_clutter: float = 0.12
    light: float = 0.8
    noise: int = 14
    texture: float = 0.6

    def __post_init__(self) -> None:
        """Refuse settings that cannot be drawn."""
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
            raise ValueError(f'min_visible is a share in [0, 1), got {self.min_visible}.')
        if self.num_polygons < 0 or self.num_fragments < 0 or self.noise < 0:
            raise ValueError('num_polygons, num_fragments and noise must not be negative.')


@dataclass(frozen=True)
class Scene:
    """One rendered image with its truth.

    Attributes:
        image: uint8 (h, w, 3), BGR.
        labels: int64 (K,), index into ``RENDERED_CLASSES``.
        instances: uint8 (h, w), 0 background, 1 + k where figure k is visible.
        visible: float32 (K,), share of each figure that is not hidden.
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
    [-0.12999999523162842, 0.05000000074505806]
    """
    if part == 'disc':
        turn = [2 * math.pi * k / 40 for k in range(40)]
        return np.array([(0.29 * math.cos(t), -0.21 + 0.29 * math.sin(t)) for t in turn], np.float32)
    corners = {
        'triangle': [(0, -0.5), (0.36, 0.03), (-0.36, 0.03)],
        'collar': [(-0.3, -0.03), (0.3, -0.03), (0.3, 0.08), (-0.3, 0.08)],
        'bar': [(-0.13, 0.05), (0.13, 0.05), (0.13, 0.5), (-0.13, 0.5)],
        'point': [(-0.28, 0.05), (0.28, 0.05), (0, 0.5)],
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


def render_scene(rng: np.random.Generator, settings: RenderSettings) -> Scene:
    """Draw one image: background, fragments, figures, what hides them, light and noise.

    Args:
        rng: the only source of chance.
        settings: see there.

    Returns:
        The scene; one to ``settings.max_objects`` figures, each at least ``settings.min_visible`` visible.
    """
    size = (settings.height * _SCALE, settings.width * _SCALE)
    # Figures and background take their patterns from the same few, so that no texture marks a figure.
    patterns = [_pattern(rng, size, settings.texture) for _ in range(5)]
    canvas = np.zeros((*size, 3), np.uint8)
    _draw_background(rng, settings, canvas, patterns)
    for _ in range(int(rng.integers(settings.num_fragments + 1))):
        _draw_fragment(rng, settings, canvas, patterns)
    labels, areas, owner = _draw_figures(rng, settings, canvas, patterns)
    _draw_occluders(rng, settings, canvas, owner, areas, patterns)
    image = _light(rng, settings, cv2.resize(canvas, (settings.width, settings.height), interpolation=cv2.INTER_AREA))
    shown = _shown(owner, len(labels))
    return Scene(image, np.array(labels, np.int64), owner[::_SCALE, ::_SCALE].copy(), (shown / np.array(areas)).astype(np.float32))


def _shown(owner: NDArray[np.uint8], count: int) -> NDArray[np.float64]:
    """Pixels in which each of ``count`` figures is visible."""
    return cv2.calcHist([owner], [0], None, [256], [0, 256]).ravel()[1 : count + 1].astype(np.float64)


def _fill(outline: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.round(outline * (1 << _SHIFT)).astype(np.int32)], 1, shift=_SHIFT)
    return mask.view(bool)


def _paint(canvas: NDArray[np.uint8], outline: NDArray[np.float32], colour: NDArray[np.float32], shade: NDArray[np.float32]) -> None:
    """Fill an outline with a colour times the shade, both in place and only in the outline's own window."""
    h, w = canvas.shape[:2]
    x1, y1 = np.clip(np.floor(outline.min(0)) - 1, 0, (w, h)).astype(int)
    x2, y2 = np.clip(np.ceil(outline.max(0)) + 2, 0, (w, h)).astype(int)
    if x1 >= x2 or y1 >= y2:
        return
    mask = _fill(outline - np.array([x1, y1], np.float32), (y2 - y1, x2 - x1))
    canvas[y1:y2, x1:x2][mask] = np.clip(colour[None, :] * shade[y1:y2, x1:x2][mask][:, None], 0, 255).astype(np.uint8)


def _muted(rng: np.random.Generator) -> NDArray[np.float32]:
    """A dull colour, BGR."""
    grey = rng.uniform(40, 190)
    return np.clip(grey + rng.uniform(-28, 28, 3), 0, 255).astype(np.float32)


def _bright(rng: np.random.Generator) -> NDArray[np.float32]:
    """A colour of the figures with some jitter, BGR."""
    return np.clip(_PALETTE[rng.integers(len(_PALETTE))] + rng.uniform(-22, 22, 3), 0, 255).astype(np.float32)


def _pattern(rng: np.random.Generator, size: tuple[int, int], strength: float) -> NDArray[np.float32]:
    """A brightness factor per pixel, float32 (h, w): a slope, and often stripes, checks or blots."""
    h, w = size
    y, x = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None, :]
    slope = (rng.uniform(-0.3, 0.3, 2) * strength).astype(np.float32)
    factor = 1 + slope[0] * (x / w - 0.5) + slope[1] * (y / h - 0.5)
    kind = rng.integers(4)
    depth = np.float32(rng.uniform(0.05, 0.22) * strength)
    period = rng.uniform(8, 26)
    angle = rng.uniform(0, math.pi)
    c, s = np.float32(math.cos(angle) / period), np.float32(math.sin(angle) / period)
    if kind == 1:
        factor += depth * (np.floor(x * c + y * s).astype(np.int32) % 2)
    elif kind == 2:
        factor += depth * ((np.floor(x * c + y * s) + np.floor(y * c - x * s)).astype(np.int32) % 2)
    elif kind == 3:
        coarse = rng.integers(0, 256, (max(2, int(h / period)), max(2, int(w / period))), dtype=np.uint8)
        factor += depth * (cv2.resize(coarse, (w, h), interpolation=cv2.INTER_LINEAR) / np.float32(255))
    return factor.astype(np.float32)


def _pick(rng: np.random.Generator, patterns: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return patterns[int(rng.integers(len(patterns)))]


def _random_polygon(rng: np.random.Generator, centre: NDArray[np.float64], radius: float) -> NDArray[np.float32]:
    angles = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 8))))
    reach = radius * rng.uniform(0.5, 1.2, len(angles))
    return (centre + np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None]).astype(np.float32)


def _draw_background(
    rng: np.random.Generator, settings: RenderSettings, canvas: NDArray[np.uint8], patterns: list[NDArray[np.float32]]
) -> None:
    h, w = canvas.shape[:2]
    _paint(canvas, np.array([(-9, -9), (w + 9, -9), (w + 9, h + 9), (-9, h + 9)], np.float32), _muted(rng), _pick(rng, patterns))
    for _ in range(settings.num_polygons):
        outline = _random_polygon(rng, rng.uniform(0, 1, 2) * (w, h), rng.uniform(10, 75) * _SCALE)
        colour = _bright(rng) if rng.uniform() < settings.bright_clutter else _muted(rng)
        _paint(canvas, outline, colour, _pick(rng, patterns))


def _pose(rng: np.random.Generator, settings: RenderSettings, height: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A random turn, stretch and place: matrix (2, 2) and shift (2,) from the figure's frame to the canvas."""
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
    """A lone part, with or without its collar: what a look at parts alone would take for a figure."""
    matrix, shift = _pose(rng, settings, rng.uniform(settings.min_size, 0.7 * settings.max_size) * _SCALE)
    parts = [(*_HEADS, *_FEET)[rng.integers(4)]]
    if rng.uniform() < 0.5:
        parts.append('collar')
    shade = _pick(rng, patterns)
    for part in parts:
        _paint(canvas, part_outline(part) @ matrix.T + shift, _bright(rng), shade)


def _draw_figures(
    rng: np.random.Generator, settings: RenderSettings, canvas: NDArray[np.uint8], patterns: list[NDArray[np.float32]]
) -> tuple[list[int], list[float], NDArray[np.uint8]]:
    """Draw figures one over the other; returns labels, whole areas and the map of who is visible where."""
    owner = np.zeros(canvas.shape[:2], np.uint8)
    labels: list[int] = []
    areas: list[float] = []
    for _ in range(int(rng.integers(1, settings.max_objects + 1))):
        label = int(rng.integers(len(RENDERED_CLASSES)))
        for _ in range(20):
            matrix, shift = _pose(rng, settings, rng.uniform(settings.min_size, settings.max_size) * _SCALE)
            outlines = [part_outline(part) @ matrix.T + shift for part in class_parts(label)]
            whole = np.logical_or.reduce([_fill(outline, owner.shape) for outline in outlines])
            after = np.where(whole, np.uint8(len(labels) + 1), owner)
            if _all_visible(after, areas, settings.min_visible):
                break
        else:
            continue  # no room for another one
        labels.append(label)
        areas.append(float(np.count_nonzero(whole)))
        owner = after
        _paint_figure(rng, canvas, outlines, _pick(rng, patterns))
    return labels, areas, owner


def _all_visible(owner: NDArray[np.uint8], areas: list[float], share: float) -> bool:
    return bool(np.all(_shown(owner, len(areas)) >= share * np.array(areas)))


def _paint_figure(
    rng: np.random.Generator, canvas: NDArray[np.uint8], outlines: list[NDArray[np.float32]], shade: NDArray[np.float32]
) -> None:
    """Two different colours, dealt to head and foot without regard to the class; the collar takes one of them."""
    first, second = rng.choice(len(_PALETTE), 2, replace=False)
    colours = [np.clip(_PALETTE[k] + rng.uniform(-18, 18, 3), 0, 255).astype(np.float32) for k in (first, second)]
    colours.append(colours[rng.integers(2)])
    for outline, colour in zip(outlines, colours):
        _paint(canvas, outline, colour, shade)


def _draw_occluders(
    rng: np.random.Generator,
    settings: RenderSettings,
    canvas: NDArray[np.uint8],
    owner: NDArray[np.uint8],
    areas: list[float],
    patterns: list[NDArray[np.float32]],
) -> None:
    """Lay dull polygons over the rims of figures; one that would hide too much of any figure is left out."""
    for k in range(len(areas)):
        if rng.uniform() >= settings.occluder_prob:
            continue
        ys, xs = np.nonzero(owner == k + 1)
        at = rng.integers(len(xs))
        middle = np.array([xs.mean(), ys.mean()])
        outline = _random_polygon(rng, middle + 1.4 * (np.array([xs[at], ys[at]]) - middle), 0.42 * math.sqrt(areas[k]))
        after = np.where(_fill(outline, owner.shape), np.uint8(0), owner)
        if _all_visible(after, areas, settings.min_visible):
            owner[...] = after
            _paint(canvas, outline, _muted(rng), _pick(rng, patterns))


def _light(rng: np.random.Generator, settings: RenderSettings, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness, tint, a slope of light, a shadow with a soft rim, and noise."""
    h, w = image.shape[:2]
    power = settings.light
    gain = 1 + power * rng.uniform(-0.5, 0.25)
    tint = 1 + power * rng.uniform(-0.12, 0.12, 3)
    y, x = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None, :]
    slope = (power * rng.uniform(-0.4, 0.4, 2)).astype(np.float32)
    field = 1 + slope[0] * (x / w - 0.5) + slope[1] * (y / h - 0.5)
    shadow = np.zeros((h, w), np.uint8)
    cv2.fillPoly(shadow, [np.round(_random_polygon(rng, rng.uniform(0, 1, 2) * (w, h), 0.5 * w)).astype(np.int32)], 255)
    field = field * (1 - np.float32(power * rng.uniform(0, 0.4) / 255) * cv2.blur(shadow, (21, 21)))
    amplitude = int(rng.integers(settings.noise + 1))
    grain = rng.integers(-amplitude, amplitude + 1, image.shape, dtype=np.int16)
    lit = image * ((gain * tint).astype(np.float32) * field[..., None].astype(np.float32)) + grain
    return np.clip(np.floor(lit + 0.5), 0, 255).astype(np.uint8)
