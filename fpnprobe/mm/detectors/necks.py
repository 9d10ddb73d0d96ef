"""Necks for mmdet: the pyramid with feature grouping, and the one-level neck of DC5."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, cat, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods import CascadedGrouping, CascadeOptions, GroupingOptions
from fpnprobe.methods.resizing import max_pool_to

_XAVIER = {"type": "Xavier", "layer": "Conv2d", "distribution": "uniform"}


@MODELS.register_module()
class LastStageNeck(BaseModule):
    """The neck of DC5: the last stage alone, as it is or mapped by a 1x1 convolution.

    Takes all stages (B, C_i, H_i, W_i), so that probes and auxiliary branches see them, and gives
    the tuple of the one level.

    Args:
        in_channels: Channels of all stages.
        out_channels: Channels of the level; None for C5 itself.
    """

    def __init__(self, *, in_channels: Sequence[int], out_channels: int | None) -> None:
        super().__init__(init_cfg=_XAVIER)
        self.convs = nn.ModuleList()
        if out_channels is not None:
            self.convs.append(ConvModule(in_channels[-1], out_channels, 1, act_cfg=None))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Give the last of the stages."""
        level = inputs[-1]
        for conv in self.convs:
            level = conv(level)
        return (level,)


@MODELS.register_module()
class GroupedFPN(BaseModule):
    """An FPN whose levels are built from all stages: Eq. 4, 12-17, 16 of Jin et al. (ECCV 2022).

    Lateral 1x1 convolutions and the top-down sum give C' (Eq. 4), the cascaded grouping P'' (Eq.
    12-17), a 3x3 convolution each level (Eq. 16); then the extra levels as mmdet's FPN makes them.

    A detector whose levels start at C3 keeps all stages as inputs, and as many groups: level P3
    takes group 3 and so on, and group 2, which has no level, is pooled to the size of the last
    level and joins the input of P6. With `all_stages=False` the grouping starts where the levels
    do, on `width` channels (a multiple of the number of groups), for three groups 192.

    Args:
        in_channels: Channels of all stages.
        out_channels: Channels of the levels.
        num_outs: Number of levels.
        start_level: Index of the stage of the first level.
        add_extra_convs: As in mmdet's FPN: `on_input`, `on_lateral`, `on_output`, or False for
            max-pooled extra levels. `on_lateral` takes P'', which is what is smoothed here.
        relu_before_extra_convs: As in mmdet's FPN.
        stages: Number of cascaded grouping stages.
        all_stages: Group all stages, also those before `start_level`.
        width: Z inside the grouping; None is `out_channels`.
        upsample: Mode of the top-down sum, as in mmdet's FPN.
        options: Fields of `GroupingOptions` and `CascadeOptions`.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        start_level: int = 0,
        add_extra_convs: bool | str = False,
        relu_before_extra_convs: bool = False,
        stages: int = 1,
        all_stages: bool = True,
        width: int | None = None,
        upsample: str = "nearest",
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: Any = _XAVIER,
        **options: Any,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        names = {field.name for field in fields(GroupingOptions)}
        grouping = {name: value for name, value in options.items() if name in names}
        cascade = {name: value for name, value in options.items() if name not in names}
        channels = width or out_channels
        self.first = 0 if all_stages else start_level
        self.skipped = start_level - self.first  # groups without a level
        self.extra_source = "on_input" if add_extra_convs is True else add_extra_convs
        self.relu_before_extra_convs = relu_before_extra_convs
        self.num_outs = num_outs
        self.upsample = upsample
        stage_channels = list(in_channels[self.first :])
        levels = len(stage_channels) - self.skipped
        if self.skipped and not (self.extra_source and num_outs > levels):
            raise FpnProbeError(
                f"the levels start at stage {start_level}, so {self.skipped} group has no level "
                "and joins the input of the first extra convolution, but the neck has none: set "
                "add_extra_convs, or all_stages=False"
            )
        self.lateral_convs = nn.ModuleList(
            ConvModule(count, channels, 1, norm_cfg=norm_cfg, act_cfg=None)
            for count in stage_channels
        )
        self.grouping = CascadedGrouping(
            channels,
            stages=stages,
            levels=len(stage_channels),
            grouping=GroupingOptions(**grouping),
            cascade=CascadeOptions(**cascade),
        )
        self.fpn_convs = nn.ModuleList(
            ConvModule(channels, out_channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=None)
            for _ in range(levels)
        )
        if self.extra_source:
            sources = {
                "on_input": stage_channels[-1],
                "on_lateral": channels,
                "on_output": out_channels,
            }
            source = sources[str(self.extra_source)] + self.skipped * channels
            for extra in range(num_outs - levels):
                self.fpn_convs.append(
                    ConvModule(
                        out_channels if extra else source,
                        out_channels,
                        3,
                        stride=2,
                        padding=1,
                        norm_cfg=norm_cfg,
                        act_cfg=None,
                    )
                )

    def top_down(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """C' of Eq. 4, finest first."""
        stage_outputs = inputs[self.first :]
        maps = [
            lateral(stage) for lateral, stage in zip(self.lateral_convs, stage_outputs, strict=True)
        ]
        for level in range(len(maps) - 1, 0, -1):
            size = maps[level - 1].shape[-2:]
            maps[level - 1] = maps[level - 1] + F.interpolate(
                maps[level], size=size, mode=self.upsample
            )
        return maps

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The levels (B, out_channels, H_l, W_l) of all stages (B, C_i, H_i, W_i)."""
        grouped = self.grouping(self.top_down(inputs))
        pyramid = grouped[self.skipped :]
        smooth = self.fpn_convs[: len(pyramid)]
        outs = [conv(feature) for conv, feature in zip(smooth, pyramid, strict=True)]
        if not self.extra_source:
            while len(outs) < self.num_outs:
                outs.append(F.max_pool2d(outs[-1], 1, stride=2))
            return tuple(outs)
        sources = {"on_input": inputs[-1], "on_lateral": grouped[-1], "on_output": outs[-1]}
        source = sources[str(self.extra_source)]
        hidden = [max_pool_to(feature, source.shape[-2:]) for feature in grouped[: self.skipped]]
        source = cat([source, *hidden], dim=1)
        for index, conv in enumerate(self.fpn_convs[len(pyramid) :]):
            relu = self.relu_before_extra_convs and index > 0
            outs.append(conv(F.relu(source) if relu else source))
            source = outs[-1]
        return tuple(outs)
