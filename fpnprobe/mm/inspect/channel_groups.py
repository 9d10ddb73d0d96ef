"""The channels of a neck where they form groups: after swapping, before smoothing."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from fpnprobe.methods.feature_grouping import FeatureGrouping
from fpnprobe.store.feature_maps import GROUPS

_LAST = 5  # the last stage of every backbone is C5


@dataclass(slots=True)
class ChannelGroups:
    """The channel matrices of one pass.

    Attributes:
        groups: Number of groups of channels.
        maps: Level ("P2"..) to `(B, Z, H, W)`: X_k of the last grouping stage (Eq. 12), or C'_k
            (Eq. 4) where the neck groups nothing.
    """

    groups: int = GROUPS
    maps: dict[str, Tensor] = field(default_factory=dict)


@contextlib.contextmanager
def listening(neck: nn.Module | None) -> Iterator[ChannelGroups]:
    """Hear the channels of each level in the passes inside; nothing where a neck has no pyramid."""
    groups = ChannelGroups()
    handles: list[Any] = []
    stages = [m for m in neck.modules() if isinstance(m, FeatureGrouping)] if neck else []
    try:
        if stages:
            groups.groups = stages[-1].levels
            swaps = list(stages[-1].swaps)
            for name, swap in zip(_name_groups(len(swaps)), swaps, strict=True):
                handles.append(swap.register_forward_hook(_read_swapped(groups, name)))
        else:
            count = len(getattr(neck, "lateral_convs", ()))
            smooth = list(getattr(neck, "fpn_convs", ()))[:count]
            for name, conv in zip(_name_groups(count), smooth, strict=False):
                handles.append(conv.register_forward_pre_hook(_read_smoothed(groups, name)))
        yield groups
    finally:
        for handle in handles:
            handle.remove()


def _name_groups(count: int) -> list[str]:
    return [f"P{_LAST - count + 1 + at}" for at in range(count)]


def _read_swapped(groups: ChannelGroups, name: str) -> Any:
    def hook(_module: nn.Module, inputs: tuple[Tensor, ...], matrix: Tensor) -> None:
        feature = inputs[0].detach()
        swapped = matrix.detach() @ feature.flatten(2)  # (B, Z, Z) (B, Z, HW)
        groups.maps[name] = swapped.view_as(feature)

    return hook


def _read_smoothed(groups: ChannelGroups, name: str) -> Any:
    def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        groups.maps[name] = inputs[0].detach()

    return hook
