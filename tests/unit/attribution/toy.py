"""A detector small enough to check by hand: three stages, a pyramid, a readout of one cell."""

import torch
from torch import Tensor, nn

from fpnprobe.attribution.chain import Chain, Levels


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, 4, 3, stride=2, padding=1), nn.ReLU(inplace=True))
            for c in (3, 4, 4)
        )

    def forward(self, x: Tensor) -> Levels:
        levels = []
        for step in self.steps:
            x = step(x)
            levels.append(x)
        return tuple(levels)


class Neck(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(4, 5, 1) for _ in range(3))

    def forward(self, stages: Levels) -> Levels:
        top = [conv(c) for conv, c in zip(self.lateral, stages, strict=True)]
        for i in (1, 0):
            top[i] = top[i] + nn.functional.interpolate(top[i + 1], size=top[i].shape[-2:])
        return tuple(top)


class CellReadout(nn.Module):
    """Example `i` reads level `i % 3` around its middle, through a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 64, 3, padding=1)
        self.out = nn.Conv2d(64, 1, 1)

    def forward(self, pyramid: Levels, ids: Tensor) -> Tensor:
        scores = [self.out(self.conv(level).relu_())[:, 0] for level in pyramid]
        middles = torch.stack([s[:, s.shape[1] // 2, s.shape[2] // 2] for s in scores], dim=1)
        return middles[torch.arange(len(ids)), ids % 3]


def chain(*, neck: bool = True, dtype: torch.dtype = torch.float64) -> Chain:
    if not neck:
        readout = CellReadout()
        readout.conv = nn.Conv2d(4, 64, 3, padding=1)
        return Chain(Backbone(), neck=None, readout=readout, stages=("C2", "C3", "C4")).to(dtype)
    return Chain(
        Backbone(),
        neck=Neck(),
        readout=CellReadout(),
        stages=("C2", "C3", "C4"),
        levels=("P2", "P3", "P4"),
    ).to(dtype)


def image(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(1, 3, 32, 32, dtype=dtype)
