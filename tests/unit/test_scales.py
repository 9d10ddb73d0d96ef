import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, bucket_index, check_buckets, names


@given(st.lists(st.floats(0, 1e9), max_size=20))
def test_every_area_is_in_the_bucket_it_is_given(areas: list[float]) -> None:
    for area, index in zip(areas, bucket_index(areas), strict=True):
        assert COCO_BUCKETS[index].low <= area < COCO_BUCKETS[index].high


def test_borders_belong_to_the_larger_bucket() -> None:
    assert bucket_index([32**2, 96**2]).tolist() == [1, 2]


@pytest.mark.parametrize("area", [-1.0, math.nan, math.inf])
def test_an_impossible_area_is_refused(area: float) -> None:
    with pytest.raises(FpnProbeError, match="negative or not finite"):
        bucket_index([area])


def test_names_end_with_background() -> None:
    assert names(COCO_BUCKETS) == ("small", "medium", "large", "background")


@pytest.mark.parametrize(
    "buckets",
    [
        [],
        [ScaleBucket("a", 0, 10)],
        [ScaleBucket("a", 5, math.inf)],
        [ScaleBucket("a", 0, 10), ScaleBucket("b", 11, math.inf)],
        [ScaleBucket("a", 0, 10), ScaleBucket("a", 10, math.inf)],
    ],
)
def test_buckets_must_tile_the_areas(buckets: list[ScaleBucket]) -> None:
    with pytest.raises(FpnProbeError):
        check_buckets(buckets)


@pytest.mark.parametrize("buckets", [["small"], [("small", 0)], [("small", 0, "x")], "small"])
def test_what_is_no_bucket_is_told(buckets: Any) -> None:
    with pytest.raises(FpnProbeError, match="bucket"):
        check_buckets(buckets)


def test_a_model_is_watched_with_borders_as_plain_data() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with fpnprobe.watch(
        model, taps={"C2": model[0]}, buckets=[("near", 0, 9), ("far", 9, None)]
    ) as probe:
        rows = model(torch.ones(3, 2))[:, 0]
        probe.measure(rows.sum(), rows=rows, labels=torch.tensor([0, 1, 1]))
    assert {"near", "far"} <= {*probe.ledger.frame["bucket"]}


@pytest.mark.parametrize("name", ["", "background", "all"])
def test_reserved_bucket_names(name: str) -> None:
    with pytest.raises(FpnProbeError, match="reserved"):
        ScaleBucket(name, 0, 1)
