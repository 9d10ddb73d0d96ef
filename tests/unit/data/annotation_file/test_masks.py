"""Masks in flat arrays, and run lengths that no C routine has seen."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from fpnprobe.data.annotation_file.mask_columns import MaskColumns
from fpnprobe.data.annotation_file.masks import Masks
from fpnprobe.data.annotation_file.run_lengths import check_runs, decode_runs, encode_runs

SIZE = (48, 64)
SQUARE = [[2, 3, 12, 3, 12, 11, 2, 11]]


def pack(*masks: Any) -> tuple[Masks, MaskColumns]:
    columns = MaskColumns()
    for mask in masks:
        columns.add(mask)
    return columns.finish(np.array([SIZE] * len(masks))), columns


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_run_lengths_are_those_of_pycocotools(h: int, w: int, share: float, seed: int) -> None:
    pixels = np.random.default_rng(seed).random((h, w)) < share
    encoded = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"]
    runs = decode_runs(encoded)
    check_runs(runs, h, w)
    assert encode_runs(runs) == encoded
    assert runs[1::2].sum() == pixels.sum()


@settings(deadline=None)
@given(st.binary(max_size=12))
def test_any_bytes_are_run_lengths_or_a_value_error(counts: bytes) -> None:
    try:
        runs = decode_runs(counts)
    except ValueError:
        return
    assert decode_runs(encode_runs(runs)).tolist() == runs.tolist()


def test_masks_come_back_as_they_were() -> None:
    run_lengths = {"size": list(SIZE), "counts": "S38X100000000000000000m]2"}
    masks, columns = pack(SQUARE, None, [], run_lengths, SQUARE * 2, {})
    assert columns.wrong == []
    assert [masks[i] for i in range(6)] == [SQUARE, None, None, run_lengths, SQUARE * 2, None]
    assert masks.present().tolist() == [True, False, False, True, True, False]
    part = masks.take(np.array([4, 3]))
    assert list(part) == [SQUARE * 2, run_lengths]
    assert part.coordinates is masks.coordinates


def test_uncompressed_run_lengths_are_compressed() -> None:
    masks, columns = pack({"size": list(SIZE), "counts": [5, 100, 48 * 64 - 105]})
    assert columns.wrong == []
    assert coco_mask.area([masks[0]])[0] == 100


def test_outlines_of_fewer_than_three_points_are_left_out() -> None:
    masks, columns = pack([[1, 2, 3, 4], *SQUARE], [[1, 2]], SQUARE)
    assert columns.short == [0, 1]
    assert (masks[0], masks[1]) == (SQUARE, None)


def test_a_polygon_is_cut_at_the_border_of_its_image() -> None:
    masks, columns = pack([[-5, -3, 70, -3, 70, 50, 2, 11]])
    assert columns.wrong == []
    assert masks[0] == [[0, 0, 64, 0, 64, 48, 2, 11]]


@pytest.mark.parametrize(
    ("mask", "what"),
    [
        ("junk", "it is 'junk'"),
        (7, "it is 7"),
        ([2, 3, 12, 3, 12, 11], "its polygon is a flat list"),
        ([["2", 3, 12, 3, 12, 11]], "no number"),
        ([[2, 3, 12, 3, 12, 10**400]], "too large"),
        ([[2, 3, 12, 3, 12, float("nan")]], "its outline reaches y = nan"),
        ([[2, 3, 22, 3, 22, 18, 2, 2e8]], r"its outline reaches y = 2e\+08, in an image of 48 px"),
        ([[-1e308, 3, 22, 3, 22, 18]], r"its outline reaches x = -1e\+308"),
        ({"size": [9, 9], "counts": [81]}, "its size is .9, 9., and the image is .48, 64."),
        ({"size": [48, 64], "counts": [10, 10]}, "its counts add up to 20 px"),
        ({"size": [48, 64], "counts": [-10, 3082]}, "no run lengths"),
        ({"size": [48, 64], "counts": "zzzzzz"}, "characters that no run length"),
        ({"size": [48, 64], "counts": "oooooooooo0"}, "a number that is too large"),
        ({"size": [48, 64], "counts": "o"}, "end within a number"),
        ({"size": [48, 64], "counts": ""}, "its counts are empty"),
        ({"size": [48], "counts": "a"}, "its size is .48., expected"),
        ({"size": [1e9, 1e9], "counts": "a"}, "its size is"),
        ({"counts": "a"}, "its size is None"),
        ({"size": [48, 64]}, "its counts are None"),
    ],
)
def test_bad_masks_are_told_before_any_c_routine(mask: Any, what: str) -> None:
    masks, columns = pack(SQUARE, mask, SQUARE)
    assert [row for row, _ in columns.wrong] == [1]
    with pytest.raises(AssertionError, match=what):
        raise AssertionError(columns.wrong[0][1])
    assert (masks[0], masks[2]) == (SQUARE, SQUARE)


def test_an_outline_that_would_take_gigabytes_to_fill_is_wrong() -> None:
    """Few bytes of a zigzag: pycocotools holds 5 points of two numbers for each of its pixels."""
    side = 2**20
    zigzag = [[float(value) for i in range(200) for value in (i % 2 * side, i)]]
    border = [[0, 0, side, 0, side, side, 0, side]]
    columns = MaskColumns()
    for mask in (border, zigzag):
        columns.add(mask)
    columns.finish(np.array([[side, side]] * 2))
    ((index, what),) = columns.wrong
    assert index == 1
    assert "px long, more than 8388608" in what
