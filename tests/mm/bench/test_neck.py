"""`fpnprobe bench neck` runs, its ratios fit, and the literal order has the same values."""

import torch

from fpnprobe.bench.neck import run
from fpnprobe.mm.bench.neck import Literal, detector_slowdown
from fpnprobe.mm.detectors import build_detector, detector_config
from fpnprobe.mm.variants import apply_variant


def test_rows_compare_ours_the_literal_order_and_fpn() -> None:
    result = run(variants=("FPN-CFG1",), sizes=((64, 96),), repeats=1, options={"bottleneck": 8})
    rows = {(row["neck"], row["order"]): row for row in result["necks"]}
    assert set(rows) == {
        ("FPN", "ours"),
        ("FPN-CFG1", "ours"),
        ("FPN-CFG1", "literal"),
        ("FPN-CFG1 grouping", "ours"),
        ("FPN-CFG1 grouping", "literal"),
    }
    ours, literal = rows["FPN-CFG1", "ours"], rows["FPN-CFG1", "literal"]
    assert ours["parameters"] == literal["parameters"] > rows["FPN", "ours"]["parameters"]
    for kind in ("forward", "forward_backward"):
        expected = literal[f"{kind}_s"] / ours[f"{kind}_s"]
        assert ours[f"{kind}_literal_ratio"] == expected
        assert ours[f"{kind}_peak_bytes"] > 0


def test_literal_neck_has_the_values_of_ours() -> None:
    config = apply_variant(
        detector_config({"width": 8, "channels": 16, "hidden": 16}, 5), "FPN-CFG3"
    )
    neck = build_detector(config).neck.double()
    inputs = [
        torch.randn(1, channels, 16 >> i, 16 >> i, dtype=torch.float64)
        for i, channels in enumerate(config.neck.in_channels)
    ]
    for ours, literal in zip(neck(inputs), Literal(neck)(inputs), strict=True):
        torch.testing.assert_close(ours, literal, rtol=1e-10, atol=1e-10)
    assert "forward" not in vars(neck.grouping)


def test_detectors_lose_frames_per_second() -> None:
    row = detector_slowdown(
        variant="FPN-CFG1", size=(64, 96), repeats=1, device="cpu", options={"bottleneck": 8}
    )
    assert row["fps_lost"] == 1 - row["fpn_s"] / row["variant_s"] < 1
    assert row["flops"]["FPN-CFG1"] > row["flops"]["FPN"] > 0
