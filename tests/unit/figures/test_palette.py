"""Colors can be told apart, also by readers with a color vision deficiency, on both pages."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from fpnprobe.figures.palette import (
    DARK,
    INK,
    MUTED,
    SURFACE,
    bucket_color,
    variant_color,
    variant_colors,
)
from fpnprobe.figures.wording import short

BUCKETS = ("small", "medium", "large", "background")
PAPER = ("DC5", "DC5-Aux", "FPN", "FPN-Aux", "FPN-AuxU", "FPN-CFG1", "FPN-CFG2", "FPN-CFG3")
# Machado, Oliveira and Fernandes (2009), severity 1, in linear RGB.
VISION = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def linear(color: str) -> npt.NDArray[np.float64]:
    value = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(color: str, vision: str) -> npt.NDArray[np.float64]:
    rgb = np.clip(np.array(VISION[vision]) @ linear(color), 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(to_xyz) @ rgb / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(a: str, b: str) -> float:
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (a, b))
    return high / low


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("names", "apart"), [(BUCKETS, 15.0), (PAPER, 9.0)])
def test_colors_are_apart(vision: str, dark: bool, names: tuple[str, ...], apart: float) -> None:
    pick = bucket_color if names is BUCKETS else variant_color
    colors = [DARK[pick(name)] if dark else pick(name) for name in names]
    for a, b in itertools.combinations(colors, 2):
        assert np.linalg.norm(lab(a, vision) - lab(b, vision)) > apart, (a, b)


def test_text_is_legible() -> None:
    for color in (INK, MUTED):
        assert contrast(color, SURFACE) > 4.5
        assert contrast(DARK[color], DARK[SURFACE]) > 4.5


def test_buckets_stand_out_from_the_page() -> None:
    for name in BUCKETS[:3]:
        assert contrast(bucket_color(name), SURFACE) > 2.8
        assert contrast(DARK[bucket_color(name)], DARK[SURFACE]) > 2.8


def test_every_color_has_a_dark_twin() -> None:
    names = [*PAPER, "FPN-Wide", *(f"own {i}" for i in range(40))]
    assert {variant_color(name) for name in names} <= set(DARK)
    assert {bucket_color(str(i), [str(i) for i in range(7)]) for i in range(7)} <= set(DARK)


def test_a_variant_keeps_its_color_in_every_report() -> None:
    assert variant_colors(["FPN", "mine"])["FPN"] == variant_colors(["FPN"])["FPN"]
    assert variant_colors(["mine"])["mine"] == variant_color("mine")
    assert variant_colors(["study: FPN"])["study: FPN"] == variant_color("FPN")


@pytest.mark.parametrize("width", [5, 22, 23])
def test_short_names_fit(width: int) -> None:
    assert len(short("x" * 200, width)) == width
    assert short("FPN", width) == "FPN"
