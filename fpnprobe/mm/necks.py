"""Necks for mmdet: the one-level neck of DC5."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.necks import ChannelMapper
from mmengine.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class LastStageNeck(ChannelMapper):
    """The neck of DC5: the last stage alone, mapped to `out_channels` by a 1x1 convolution.

    Takes all stages (B, C_i, H_i, W_i), so that probes and auxiliary branches see them, and gives
    the tuple of the one level (B, out_channels, H_5, W_5).
    """

    def __init__(self, *, in_channels: Sequence[int], out_channels: int, **options: Any) -> None:
        super().__init__(
            list(in_channels[-1:]), out_channels, kernel_size=1, act_cfg=None, **options
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map the last of the stages."""
        levels: tuple[Tensor, ...] = super().forward(inputs[-1:])
        return levels
