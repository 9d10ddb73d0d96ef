"""Necks of other papers that a pyramid is compared with, with mmdet's FPN as their interface."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.necks import FPN
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

_EPSILON = 1e-4  # of the fusion weights, as in EfficientDet


@MODELS.register_module()
class SingleInputFPN(FPN):
    """Many levels from C5 alone: the SiMo encoder of YOLOF (Chen et al., CVPR 2021, Figure 1).

    Every level has its own 3x3 convolution and size, and no stage but the last one enters: what an
    FPN is without the fusion of features. C5 after its lateral convolution is brought to the sizes
    of the finer stages by nearest upsampling, as in FPN's top-down path; coarser levels are those
    of mmdet's FPN. The arguments are those of mmdet's FPN.
    """

    lateral_convs: nn.ModuleList

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        del self.lateral_convs[:-1]

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Give the levels (B, out_channels, H_l, W_l) of all stages (B, C_i, H_i, W_i)."""
        last = self.lateral_convs[0](inputs[self.backbone_end_level - 1])
        sizes = [tuple(stage.shape[-2:]) for stage in inputs[self.start_level :]]
        coarse = [F.interpolate(last, size=size, mode="nearest") for size in sizes[:-1]]
        smooth = self.fpn_convs[: len(sizes)]
        levels = [conv(feature) for conv, feature in zip(smooth, [*coarse, last], strict=True)]
        if not self.add_extra_convs:
            while len(levels) < self.num_outs:
                levels.append(F.max_pool2d(levels[-1], 1, stride=2))
            return tuple(levels)
        sources = {"on_input": inputs[-1], "on_lateral": last, "on_output": levels[-1]}
        source = sources[self.add_extra_convs]
        for index, conv in enumerate(self.fpn_convs[len(sizes) :]):
            relu = self.relu_before_extra_convs and index > 0
            levels.append(conv(F.relu(source) if relu else source))
            source = levels[-1]
        return tuple(levels)


class _Fusion(nn.Module):
    """Fast normalized fusion, swish, and a depthwise-separable 3x3 convolution with a norm."""

    def __init__(self, channels: int, inputs: int, norm_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs))
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = ConvModule(channels, channels, 1, norm_cfg=norm_cfg, act_cfg=None)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Fuse maps of one shape."""
        weights = torch.relu(self.weights)
        weights = weights / (weights.sum() + _EPSILON)
        fused = sum(weight * feature for weight, feature in zip(weights, features, strict=True))
        level: Tensor = self.pointwise(self.depthwise(F.silu(fused)))
        return level


class _Layer(nn.Module):
    """One BiFPN layer: a top-down and a bottom-up pass over the levels, finest first."""

    def __init__(self, channels: int, levels: int, norm_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.down = nn.ModuleList(_Fusion(channels, 2, norm_cfg) for _ in range(levels - 1))
        self.up = nn.ModuleList(
            _Fusion(channels, 3 if level < levels - 2 else 2, norm_cfg)
            for level in range(levels - 1)
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Give as many levels of the same shapes."""
        middle = list(levels)
        for level in range(len(levels) - 2, -1, -1):
            size = levels[level].shape[-2:]
            coarser = F.interpolate(middle[level + 1], size=size, mode="nearest")
            middle[level] = self.down[level]([levels[level], coarser])
        outs = [middle[0]]
        for level in range(1, len(levels)):
            size = levels[level].shape[-2:]
            finer = F.adaptive_max_pool2d(outs[-1], (int(size[0]), int(size[1])))
            same_level = (
                [levels[level], middle[level]] if level < len(levels) - 1 else [levels[level]]
            )
            outs.append(self.up[level - 1]([*same_level, finer]))
        return outs


@MODELS.register_module()
class BiFPN(BaseModule):
    """The bidirectional pyramid of EfficientDet (Tan et al., CVPR 2020, Section 3).

    Each level fuses its input, the coarser level on the way down and the finer one on the way up
    by learned, normalized, non-negative weights; `layers` such layers. Coarser levels than the
    stages have come from C5 by a 1x1 convolution and pooling. Ours: adaptive max pooling to the
    size of the coarser level.

    Args:
        in_channels: Channels of all stages.
        out_channels: Channels of the levels.
        num_outs: Number of levels.
        start_level: Index of the stage of the first level.
        layers: Repeated layers; three in EfficientDet-D0.
        norm_cfg: Norm after each convolution.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        start_level: int = 0,
        layers: int = 3,
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(
            init_cfg=init_cfg or {"type": "Xavier", "layer": "Conv2d", "distribution": "uniform"}
        )
        norm = norm_cfg or {"type": "BN", "requires_grad": True}
        self.start_level = start_level
        stage_channels = list(in_channels[start_level:])
        self.extra = num_outs - len(stage_channels)
        self.lateral_convs = nn.ModuleList(
            ConvModule(channels, out_channels, 1, norm_cfg=norm, act_cfg=None)
            for channels in stage_channels
        )
        self.extra_conv = (
            ConvModule(stage_channels[-1], out_channels, 1, norm_cfg=norm, act_cfg=None)
            if self.extra > 0
            else None
        )
        self.layers = nn.ModuleList(_Layer(out_channels, num_outs, norm) for _ in range(layers))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Give the levels (B, out_channels, H_l, W_l) of all stages (B, C_i, H_i, W_i)."""
        stage_outputs = inputs[self.start_level :]
        levels = [
            conv(stage) for conv, stage in zip(self.lateral_convs, stage_outputs, strict=True)
        ]
        if self.extra_conv is not None:
            coarser = self.extra_conv(stage_outputs[-1])
            for _ in range(self.extra):
                coarser = F.max_pool2d(coarser, 3, stride=2, padding=1)
                levels.append(coarser)
        for layer in self.layers:
            levels = layer(levels)
        return tuple(levels)
