"""Five outline glyphs and the clutter that shares their strokes.

A glyph is told from clutter by the arrangement of its strokes alone: clutter has the same straight
strokes, corners and arcs, so a local patch of a large glyph looks like clutter.
"""

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
Color = tuple[float, float, float]

CLASSES = ("ring", "square", "triangle", "plus", "hourglass")
_FRACTION_BITS = 4  # OpenCV draws at sixteenths of a pixel


def _circle_outline() -> Points:
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def strokes(name: str) -> list[tuple[Points, bool]]:
    """The strokes of a glyph as (points `(N, 2)` in about [-1, 1]^2, whether closed)."""
    shapes: dict[str, list[tuple[list[tuple[float, float]], bool]]] = {
        "square": [([(-1, -1), (1, -1), (1, 1), (-1, 1)], True)],
        "triangle": [([(0, -1), (1, 0.85), (-1, 0.85)], True)],
        "plus": [([(-1, 0), (1, 0)], False), ([(0, -1), (0, 1)], False)],
        "hourglass": [([(-0.85, -1), (0.85, -1), (-0.85, 1), (0.85, 1)], True)],
    }
    if name == "ring":
        return [(_circle_outline(), True)]
    return [(np.array(points, dtype=np.float64), closed) for points, closed in shapes[name]]


def draw(image: Image, points: Points, *, closed: bool, color: Color, thickness: int) -> None:
    """Draw one stroke; `points` in px of `image`."""
    fixed = np.round(points * 2**_FRACTION_BITS).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(image, [fixed], closed, color, thickness, cv2.LINE_AA, _FRACTION_BITS)


def draw_glyph(
    image: Image,
    name: str,
    box: tuple[float, float, float, float],
    *,
    rotation: float,
    color: Color,
    thickness: int,
) -> None:
    """Draw a glyph that is turned by `rotation` (rad) and fills `box` (x1, y1, x2, y2, px)."""
    turn = np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
    turned = [(points @ turn.T, closed) for points, closed in strokes(name)]
    every = np.concatenate([points for points, _ in turned])
    low, high = every.min(axis=0), every.max(axis=0)
    start = np.array(box[:2]) + thickness / 2
    extent = np.array(box[2:]) - np.array(box[:2]) - thickness
    for points, closed in turned:
        placed = (points - low) / (high - low) * extent + start - 0.5
        draw(image, placed, closed=closed, color=color, thickness=thickness)


def draw_clutter(image: Image, rng: np.random.Generator, *, color: Color, scale: int) -> None:
    """Draw one open stroke (straight, arc or corner) or a dot at a random place."""
    start = rng.uniform(0, image.shape[0], 2)
    length, angle = rng.uniform(4, 60) * scale, rng.uniform(0, 2 * np.pi)
    thickness = int(rng.integers(scale, 3 * scale))
    kind = rng.integers(0, 4)
    if kind == 0:
        points = start + length * np.array([[0, 0], [np.cos(angle), np.sin(angle)]])
    elif kind == 1:
        bow = angle + np.linspace(0, rng.uniform(0.6, 2.2), 10)
        points = start + 0.5 * length * np.stack([np.cos(bow), np.sin(bow)], axis=1)
    elif kind == 2:
        other = angle + rng.uniform(0.9, 2.2)
        arms = [[np.cos(angle), np.sin(angle)], [0, 0], [np.cos(other), np.sin(other)]]
        points = start + 0.5 * length * np.array(arms)
    else:
        center = (int(start[0]), int(start[1]))
        radius = int(rng.integers(1, 3 * scale))
        cv2.circle(image, center, radius, color, -1, cv2.LINE_AA)
        return
    draw(image, points, closed=False, color=color, thickness=thickness)
