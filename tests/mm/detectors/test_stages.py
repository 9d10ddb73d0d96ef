"""Where C_i and P_l are, on every kind of backbone and neck."""

from typing import Any

import pytest
import timm
import torch
from mmdet.models.backbones import CSPDarknet, RegNet, ResNeXt, SwinTransformer
from mmdet.models.necks import FPN, ChannelMapper
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.backbones.lite0 import Lite0
from fpnprobe.mm.detectors.stages import neck_levels, stages
from fpnprobe.probing import LossPartition, Probe, Tap
from fpnprobe.testing import assert_partition_sums_to_total, assert_routes_sum_to_total


class TimmBackbone(nn.Module):
    """The usual wrapper."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__()
        self.timm_model = timm.create_model(name, features_only=True, pretrained=False, **options)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.timm_model(x))


BACKBONES: dict[str, Any] = {
    "resnext": lambda: ResNeXt(groups=2, base_width=4, depth=50, base_channels=8, stem_channels=8),
    "regnet": lambda: RegNet("regnetx_400mf"),
    "swin": lambda: SwinTransformer(embed_dims=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 3, 6)),
    "lite0": lambda: Lite0(),
    "timm resnet": lambda: TimmBackbone("resnet10t", out_indices=(1, 2, 3, 4)),
    "timm efficientnet": lambda: TimmBackbone("tf_efficientnet_lite0", out_indices=(1, 2, 3, 4)),
    "timm convnext": lambda: TimmBackbone("convnext_atto"),
    "timm regnet": lambda: TimmBackbone("regnetx_002", out_indices=(1, 2, 3, 4)),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_stage_outputs_and_parameters(name: str) -> None:
    backbone = BACKBONES[name]()
    backbone.train()
    found = stages(backbone)
    assert [stage.name for stage in found] == ["C2", "C3", "C4", "C5"]
    features: dict[str, Tensor] = {}
    handles = [
        s.module.register_forward_hook(
            lambda _m, _i, out, s=s: features.__setitem__(s.name, s.pick(out))
        )
        for s in found
    ]
    maps = backbone(torch.randn(2, 3, 64, 64))
    for handle in handles:
        handle.remove()
    sizes = [(m.shape[-2], m.shape[-1]) for m in maps]
    assert sizes == [(16, 16), (8, 8), (4, 4), (2, 2)]
    for stage, one, (height, width) in zip(found, maps, sizes, strict=True):
        feature = features[stage.name]
        assert feature is one or feature.shape[:2] == (2, height * width)  # Swin: (B, H W, C)
    # Each parameter has one owner, and those of stage i move C_i and nothing before it.
    owned = [id(p) for stage in found for p in stage.parameters]
    assert len(owned) == len(set(owned)) > 0
    everything = {id(p) for p in backbone.parameters()}
    assert set(owned) <= everything
    for i, stage in enumerate(found):
        trained = [p for p in stage.parameters if p.requires_grad]
        own = torch.autograd.grad(
            features[stage.name].square().sum(), trained, retain_graph=True, allow_unused=True
        )
        assert all(g is not None for g in own), stage.name
        for earlier in found[:i]:
            none = torch.autograd.grad(
                features[earlier.name].square().sum(), trained, retain_graph=True, allow_unused=True
            )
            assert all(g is None for g in none)


@pytest.mark.parametrize("name", BACKBONES)
def test_routes_add_up_on_every_backbone(name: str) -> None:
    backbone = BACKBONES[name]()
    backbone.train()
    features: dict[str, Tensor] = {}
    found = stages(backbone)
    handles = [
        s.module.register_forward_hook(
            lambda _m, _i, out, s=s: features.__setitem__(s.name, s.pick(out))
        )
        for s in found
    ]
    neck = FPN([m.shape[1] for m in backbone(torch.randn(2, 3, 64, 64))], 8, num_outs=4)
    levels = neck(backbone(torch.randn(2, 3, 64, 64)))
    for handle in handles:
        handle.remove()
    rows = torch.stack([p.square().mean((1, 2, 3)) for p in levels]).flatten()
    partition = LossPartition()
    partition.add_rows(rows, torch.arange(8) % 4)
    taps = [Tap(s.name, s.level, features[s.name], s.parameters, routed=True) for s in found]
    sample = Probe("full").measure(rows.sum(), partition, taps)
    assert_partition_sums_to_total(sample)
    assert_routes_sum_to_total(sample)
    parts = {(r.tap, r.route): r.l2 for r in sample.records if r.bucket == "all"}
    assert all(parts[f"C{i}", "direct"] > 0 for i in (2, 3, 4, 5))
    assert all(parts[f"C{i}", "deeper"] > 0 for i in (2, 3, 4)) and parts["C5", "deeper"] == 0


def test_an_unknown_backbone_says_what_it_lacks() -> None:
    with pytest.raises(FpnProbeError, match=r"CSPDarknet .*stage_modules\(\)"):
        stages(CSPDarknet(deepen_factor=0.33, widen_factor=0.25))


@pytest.mark.parametrize(
    ("neck", "strides", "expected"),
    [
        (lambda c: FPN(c, 8, num_outs=5), (4, 8, 16, 32), [2, 3, 4, 5, 6]),
        (
            lambda c: FPN(c, 8, num_outs=5, start_level=1, add_extra_convs="on_input"),
            (4, 8, 16, 32),
            [3, 4, 5, 6, 7],
        ),
        (lambda c: ChannelMapper(c[-1:], 8, kernel_size=1), (4, 8, 16, 16), [5]),
    ],
)
def test_levels_of_necks(neck: Any, strides: tuple[int, ...], expected: list[int]) -> None:
    channels = [4, 8, 16, 32]
    maps = [torch.ones(1, c, 128 // s, 128 // s) for c, s in zip(channels, strides, strict=True)]
    made = neck(channels)
    outputs = made(maps[-1:] if isinstance(made, ChannelMapper) else maps)
    sizes = {i: (m.shape[-2], m.shape[-1]) for i, m in enumerate(maps, start=2)}
    assert neck_levels(outputs, sizes) == expected
