"""Saved activations: counted from shapes as in a real step, and those of the paper's card."""

import json

import pytest
import torch
from typer.testing import CliRunner

from fpnprobe.bench import neck
from fpnprobe.cli import main
from fpnprobe.mm.bench import activation_memory
from fpnprobe.mm.bench.activation_memory import SavedBytes, saved_bytes
from fpnprobe.mm.detectors import build_detector, detector_config
from fpnprobe.mm.variants import apply_variant

SPEC = {"width": 8, "channels": 16, "hidden": 16, "size": 64, "proposals": 32, "rois": 16}


@pytest.mark.parametrize("variant", ["FPN", "FPN-AuxU", "FPN-CFG1"])
@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
def test_counting_without_convolutions_is_counting(framework: str, variant: str) -> None:
    model = detector_config({**SPEC, "framework": framework}, 8)
    detector = build_detector(apply_variant(model, variant))
    size = (96, 128)
    quick = saved_bytes(detector, size=size, images=1)
    real = saved_bytes(detector, size=size, images=1, convolve=True)
    # How many of the sampled RoIs hold an object depends on the weights.
    assert quick == pytest.approx(real, rel=0.01 if framework == "faster_rcnn" else 0)
    assert quick > 96 * 128


def test_a_storage_counts_once_and_weights_do_not() -> None:
    layer = torch.nn.Linear(4, 4)
    image = torch.zeros(2, 4, requires_grad=True)
    with SavedBytes(layer).counting() as count:
        out = layer(image)
        (out * out).sum()
        loss = (out.view(-1) ** 2).sum()
    assert count.bytes == 2 * 2 * 4 * 4  # the input and the output
    with pytest.raises(RuntimeError, match="counted only"):
        loss.backward()


def test_bench_neck_counts_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation_memory, "CONFIGS", {"one-stage": "retinanet_r18_fpn_1x_coco"})
    main.register()
    options = ["bench", "neck", "--memory", "--variants", "FPN,FPN-Aux", "--size", "96x128"]
    result = CliRunner().invoke(main.app, [*options, "--json"])
    plain, auxiliary = json.loads(result.stdout)["rows"]
    assert (plain["images"], plain["kind"]) == (2, "one-stage")
    assert plain["saved_bytes"] < auxiliary["saved_bytes"]
    result = CliRunner().invoke(main.app, options)
    assert "GiB of activations for 2 images of 96x128" in result.stdout


@pytest.mark.slow
def test_the_papers_variants_fit_a_card_of_32_gb() -> None:
    """Two images of 800x1344 on a ResNet-101, with 4 GB left for weights and workspaces."""
    for row in neck.memory()["rows"]:
        assert row["saved_bytes"] < 28 * 2**30, row
