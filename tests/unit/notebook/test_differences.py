"""Differences between two variants, from the table that a study has stored."""

import pandas as pd
import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.notebook import differences

COMPARISON = pd.DataFrame(
    [
        ("FPN", "DC5", "all", "AP_L", 0.5, 0.4, -0.1, low, high, source, 3)
        for source, low, high in (
            ("images", -0.12, -0.08), ("seeds", -0.3, 0.1), ("both", -0.15, -0.05),
        )
    ]
    + [("FPN", "DC5", "0", "AP_L", 0.5, 0.41, -0.09, -0.1, -0.08, "images", 1)],
    columns=["variant", "baseline", "seed", "metric", "a", "b", "difference", "low", "high",
             "source", "n_seeds"],
)  # fmt: skip


def test_differences_are_over_all_seeds_in_points_and_either_way_round() -> None:
    (there,) = differences.differences(COMPARISON, "DC5", "FPN").to_dict("records")
    assert there["difference"] == pytest.approx(-10)
    assert (there["low"], there["high"]) == pytest.approx((-15, -5))
    assert (there["source"], there["seeds"]) == ("images and seeds", 3)
    assert (there["baseline"], there["variant"]) == ("DC5", "FPN")
    (back,) = differences.differences(COMPARISON, "FPN", "DC5").to_dict("records")
    assert (back["a"], back["b"]) == pytest.approx((40, 50))
    assert (back["low"], back["high"]) == pytest.approx((5, 15))
    assert (back["baseline"], back["variant"]) == ("FPN", "DC5")
    text = differences.differences_as_text(
        differences.differences(COMPARISON, "DC5", "FPN"), a="DC5", b="FPN"
    )
    assert "3 seeds; 95 % intervals over images and seeds" in text and "-15.0" in text
    found = differences.differences_as_json(differences.differences(COMPARISON, "DC5", "FPN"))
    assert found["AP_L"]["seeds"] == 3
    assert not {"baseline", "variant"} & {*found["AP_L"], *text.split()}


def test_a_variant_that_was_not_compared() -> None:
    with pytest.raises(FpnProbeError, match="did you mean FPN"):
        differences.differences(COMPARISON, "DC5", "FPM")
    with pytest.raises(FpnProbeError, match="no stored comparison"):
        differences.differences(None, "DC5", "FPN")
