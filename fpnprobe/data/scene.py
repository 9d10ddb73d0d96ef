"""One generated scene: noise, clutter, and glyphs of three sizes with their boxes."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fpnprobe.data import glyphs
from fpnprobe.scales import ScaleBucket

_OVERSAMPLE = 2
_TRIES = 20
_MOST_OVERLAP = 0.15  # IoU
_OCTAVES = ((4, 40.0), (12, 22.0), (48, 14.0))  # (grid cells, amplitude in gray levels)
_GRAIN = 6.0

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The recipe of scenes: their size, and how many objects of each kind they hold.

    Attributes:
        size: Image side in px.
        objects: Fewest and most glyphs that are tried; one that finds no free place is left out.
        mix: Probability of a small, a medium and a large glyph.
        clutter: Fewest and most strokes of clutter.
    """

    size: int = 192
    objects: tuple[int, int] = (5, 11)
    mix: tuple[float, float, float] = (0.25, 0.35, 0.40)
    clutter: tuple[int, int] = (10, 24)

    @property
    def sides(self) -> tuple[tuple[float, float], ...]:
        """Smallest and largest side (square root of area) of each bucket's glyphs in px."""
        first, second = self.size / 8, 3 * self.size / 8
        return (
            (0.5 * first, 0.97 * first),
            (1.03 * first, 0.97 * second),
            (1.03 * second, 0.68 * self.size),
        )


def buckets(size: int = 192) -> tuple[ScaleBucket, ...]:
    """The scale buckets of scenes of this size: borders at size / 8 and 3 size / 8.

    Glyphs below 3 % of the image side cannot be told apart, so COCO's borders, scaled down to the
    image, would make every small object unreadable.

    >>> [round(bucket.high**0.5) for bucket in buckets(192)[:2]]
    [24, 72]
    """
    first, second = (size / 8) ** 2, (3 * size / 8) ** 2
    return (
        ScaleBucket("small", 0, first),
        ScaleBucket("medium", first, second),
        ScaleBucket("large", second, math.inf),
    )


def draw_scene(
    recipe: Recipe, rng: np.random.Generator
) -> tuple[glyphs.Image, list[tuple[int, Box]]]:
    """An image `(size, size, 3)` and its objects as (class index, box x1, y1, x2, y2 in px)."""
    side = recipe.size * _OVERSAMPLE
    canvas = cv2.resize(
        _draw_background(recipe.size, rng), (side, side), interpolation=cv2.INTER_LINEAR
    )
    base = canvas.mean(axis=(0, 1))
    for _ in range(int(rng.integers(*recipe.clutter))):
        glyphs.draw_clutter(canvas, rng, color=_draw_color(base, rng), scale=_OVERSAMPLE)
    objects = []
    for box in _draw_boxes(recipe, rng):
        label = int(rng.integers(len(glyphs.CLASSES)))
        shorter = math.sqrt((box[2] - box[0]) * (box[3] - box[1])) * _OVERSAMPLE
        glyphs.draw_glyph(
            canvas,
            glyphs.CLASSES[label],
            tuple(edge * _OVERSAMPLE for edge in box),  # type: ignore[arg-type]
            rotation=rng.uniform(-0.3, 0.3),
            color=_draw_color(base, rng),
            thickness=int(np.clip(round(shorter * rng.uniform(0.07, 0.13)), 2, 7)),
        )
        objects.append((label, box))
    image = cv2.resize(canvas, (recipe.size, recipe.size), interpolation=cv2.INTER_AREA)
    grain = rng.standard_normal(image.shape, dtype=np.float32) * _GRAIN
    return np.clip(image + grain, 0, 255).astype(np.uint8), objects


def _draw_background(size: int, rng: np.random.Generator) -> glyphs.Image:
    """Cloudy noise, mostly gray, at three spatial frequencies."""
    image = np.full((size, size, 3), rng.uniform(75, 165), dtype=np.float32)
    for cells, amplitude in _OCTAVES:
        noise = rng.standard_normal((cells, cells, 3), dtype=np.float32)
        noise = 1.2 * noise.mean(axis=2, keepdims=True) + 0.5 * noise
        image += amplitude * cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def _draw_color(base: npt.NDArray[np.float64], rng: np.random.Generator) -> glyphs.Color:
    """A color that is clearly darker or brighter than the background, away from saturation."""
    brighter = rng.random() < np.clip((165 - base.mean()) / 75, 0, 1)
    shift = rng.uniform(45, 110) * (1 if brighter else -1)
    shifted = base + shift + rng.normal(0, 25, 3)
    first, second, third = np.clip(shifted, 0, 255)
    return float(first), float(second), float(third)


def _draw_boxes(recipe: Recipe, rng: np.random.Generator) -> list[Box]:
    """Boxes from large to small, so that large ones find a place."""
    count = int(rng.integers(recipe.objects[0], recipe.objects[1] + 1))
    bucket_indices = sorted(rng.choice(3, size=count, p=recipe.mix), reverse=True)
    placed: list[Box] = []
    for bucket in bucket_indices:
        box = _find_place(recipe, rng, int(bucket), placed)
        if box is not None:
            placed.append(box)
    return placed


def _find_place(
    recipe: Recipe, rng: np.random.Generator, bucket: int, placed: list[Box]
) -> Box | None:
    """A free place for a glyph of a bucket, or None after some tries."""
    low, high = recipe.sides[bucket]
    for _ in range(_TRIES):
        side = math.exp(rng.uniform(math.log(low), math.log(high)))
        stretch = math.exp(rng.uniform(-0.125, 0.125))
        width, height = side * stretch, side / stretch
        x = rng.uniform(1, recipe.size - width - 1)
        y = rng.uniform(1, recipe.size - height - 1)
        box = (x, y, x + width, y + height)
        overlap = max((_overlap_of(box, other) for other in placed), default=0.0)
        tolerated = _MOST_OVERLAP if bucket == 2 or rng.random() > 0.6 else 0.0
        if overlap <= tolerated:
            return box
    return None


def _overlap_of(first: Box, second: Box) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(areas) - shared)
