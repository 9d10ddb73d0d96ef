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
    variant_dash,
)
from fpnprobe.figures.wording import short

BUCKETS = ("small", "medium", "large", "background")
PAPER = ("DC5", "DC5-Aux", "FPN", "FPN-Aux", "FPN-AuxU", "FPN-CFG1", "FPN-CFG2", "FPN-CFG3")
CONTROLS = ("FPN-Wide", "FPN-Wide1")
CHANGES = tuple(
    f"FPN~{name}"
    for name in ("cut-direct", "cut-deeper", "no-small-direct", "no-large-direct", "balanced")
)
OWN = ("my neck", "BiFPN", "PAFPN")
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


def ciede2000(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Color difference of Luo, Cui and Rigg (2001), after the notes of Sharma et al. (2005)."""
    mean = (np.hypot(*a[1:]) + np.hypot(*b[1:])) / 2
    grow = 1.5 - 0.5 * np.sqrt(mean**7 / (mean**7 + 25**7))
    (l1, x1, y1), (l2, x2, y2) = (a[0], a[1] * grow, a[2]), (b[0], b[1] * grow, b[2])
    c1, c2 = np.hypot(x1, y1), np.hypot(x2, y2)
    h1, h2 = np.degrees(np.arctan2([y1, y2], [x1, x2])) % 360
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    hue = h1 + turn / 2
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1 - 0.17 * np.cos(np.radians(hue - 30)) + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6)) - 0.2 * np.cos(np.radians(4 * hue - 63))
    )  # fmt: skip
    sl = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    angle = np.radians(60 * np.exp(-(((hue % 360 - 275) / 25) ** 2)))
    rt = -2 * np.sqrt(chroma**7 / (chroma**7 + 25**7)) * np.sin(angle)
    parts = (dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * dc / sc * dh / sh
    return float(np.sqrt(parts))


def test_ciede2000() -> None:
    """Pairs 1, 7 and 17 of Sharma, Wu and Dalal (2005), Table 1."""
    for a, b, wanted in (
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ):
        assert ciede2000(np.array(a), np.array(b)) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("dark", [False, True])
def test_buckets_are_apart(vision: str, dark: bool) -> None:
    colors = [DARK[bucket_color(n)] if dark else bucket_color(n) for n in BUCKETS]
    for a, b in itertools.combinations(colors, 2):
        assert np.linalg.norm(lab(a, vision) - lab(b, vision)) > 15, (a, b)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("names", [(*PAPER, *CONTROLS), ("FPN", *CHANGES), ("FPN", *OWN)])
def test_variants_are_apart_by_color_or_dash(
    vision: str, dark: bool, names: tuple[str, ...]
) -> None:
    colors = variant_colors(names)
    for a, b in itertools.combinations(names, 2):
        if variant_dash(a) != variant_dash(b):
            continue
        pair = [lab(DARK[colors[n]] if dark else colors[n], vision) for n in (a, b)]
        assert ciede2000(*pair) > 10, (a, b)


@pytest.mark.parametrize("dark", [False, True])
def test_lines_of_variants_stand_out_from_the_page(dark: bool) -> None:
    for name in (*PAPER, *CONTROLS, *CHANGES, *OWN):
        color = variant_color(name)
        page = DARK[SURFACE] if dark else SURFACE
        assert contrast(DARK[color] if dark else color, page) >= 3, name


def test_interventions_have_a_dash_each() -> None:
    assert len({variant_dash(name) for name in ("FPN", *CHANGES)}) == 1 + len(CHANGES)


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
