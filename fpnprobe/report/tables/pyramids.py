"""Which detectors have a pyramid: the only map that the head of DC5 reads is no level of one."""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from fpnprobe.store.feature_maps import Features

_LEVEL = re.compile(r"P\d+")


def find_pyramids(levels: Mapping[str, set[str]]) -> set[str]:
    """The variants of several levels.

    >>> find_pyramids({"DC5": {"P5"}, "FPN": {"P2", "P3"}})
    {'FPN'}
    """
    return {variant for variant, names in levels.items() if len(names) > 1}


def variants_with_pyramid(stages: pd.DataFrame, levels: pd.DataFrame) -> set[str]:
    """The variants whose losses or gradients were measured at several levels.

    Args:
        stages: Rows of `gradient_shares.objects` at stages; `term` is `L2`.. of a level.
        levels: Its rows at levels.
    """
    names: dict[str, set[str]] = {}
    by_level = stages[stages["term"].str.fullmatch(r"L\d+")]
    for table, column in ((levels, "tap"), (by_level, "term")):
        for variant, group in table.groupby("variant"):
            places = {f"P{name[1:]}" for name in group[column]}
            names.setdefault(str(variant), set()).update(places)
    return find_pyramids(names)


def drop_single_level(features: Features) -> Features:
    """The maps without that of a head's only input, which is no level of a pyramid."""
    levels = {name for name in features.maps if _LEVEL.fullmatch(name)}
    if len(levels) > 1:
        return features
    maps: dict[str, npt.NDArray[np.float64]] = {
        name: values for name, values in features.maps.items() if name not in levels
    }
    return replace(features, maps=maps)
