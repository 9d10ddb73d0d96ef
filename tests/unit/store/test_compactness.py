"""Compactness against its definition with loops over pairs, and its two fixed points."""

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest

from fpnprobe.store.feature_maps import group_compactness


def slow(energy: npt.NDArray[np.float64], groups: int) -> float:
    """1 - D_within / D_all, pair by pair and cell by cell; channels with energy alone."""
    patterns: list[tuple[int, list[float]]] = []
    size = len(energy) // groups
    for channel, values in enumerate(energy):
        total = sum(float(v) for v in values.ravel())
        if total > 0:
            patterns.append(
                (channel // size, [math.sqrt(float(v) / total) for v in values.ravel()])
            )
    within, every = [], []
    for (group, one), (other, two) in itertools.combinations(patterns, 2):
        distance = sum((a - b) ** 2 for a, b in zip(one, two, strict=True))
        every.append(distance)
        if group == other:
            within.append(distance)
    return 1 - (sum(within) / len(within)) / (sum(every) / len(every))


@pytest.mark.parametrize(("channels", "groups"), [(8, 4), (12, 3), (16, 4)])
def test_equals_the_definition(channels: int, groups: int) -> None:
    energy = np.random.default_rng(channels).random((channels, 5, 7)) ** 4
    energy[3] = 0
    energy *= 10.0 ** np.arange(channels)[:, None, None]
    assert group_compactness(energy, groups=groups) == pytest.approx(slow(energy, groups), abs=1e-9)


def test_no_group_is_zero_over_all_orders() -> None:
    energy = np.random.default_rng(0).random((6, 3, 3))
    every = [
        group_compactness(energy[list(order)], groups=3)
        for order in itertools.permutations(range(6))
    ]
    assert np.mean(every) == pytest.approx(0, abs=1e-12)
    assert max(every) > 0 > min(every)


def test_alike_within_groups_is_one() -> None:
    rng = np.random.default_rng(1)
    kinds = rng.random((4, 6, 6))
    energy = np.repeat(kinds, 8, axis=0) * rng.random(32)[:, None, None]
    assert group_compactness(energy) == pytest.approx(1)
    mixed = energy.reshape(4, 8, 6, 6).swapaxes(0, 1).reshape(32, 6, 6)
    assert group_compactness(mixed) < 0


@pytest.mark.parametrize(
    "energy", [np.ones((8, 3, 3)), np.zeros((8, 3, 3)), np.eye(4).reshape(4, 2, 2)]
)
def test_nothing_to_tell_apart_is_nan(energy: npt.NDArray[np.float64]) -> None:
    assert math.isnan(group_compactness(energy))


def test_channels_of_one_pattern_have_no_groups_to_be_told_apart() -> None:
    for seed in range(20):  # their cosines are 1 up to rounding, whichever way that goes
        pattern = np.random.default_rng(seed).random((5, 5))
        energy = np.stack([pattern * strength for strength in (1, 3, 7, 0.1, 11, 13)])
        assert math.isnan(group_compactness(energy, groups=2))
