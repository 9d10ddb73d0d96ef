"""A detector as a chain of segments with two places to listen: its stages and its pyramid."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from fpnprobe.attribution.words import Place
from fpnprobe.errors import FpnProbeError

Levels = tuple[Tensor, ...]


class Readout(Protocol):
    """Turns a pyramid into one number for each example.

    `pyramid` holds one `(B, C, H, W)` map per level, `ids` is `(B,)`: which target each example of
    the batch asks for. Returns `(B,)`. Everything but the maps (RoIs, priors) is held fixed.
    """

    def __call__(self, pyramid: Levels, ids: Tensor) -> Tensor:
        """Return the numbers `(B,)`."""


class Tap(nn.Module):
    """Gives every level back as a tensor of its own.

    A backbone computes C3 from C2, so the gradient at its own C2 contains the way through the
    deeper stages. At the copies this module returns, it contains what the *next segment* reads
    from C2 and nothing else: the levels become independent and their attributions add up. A copy
    is also out of reach of the in-place ReLU of the next stage.
    """

    def forward(self, *levels: Tensor) -> Levels:
        """Return the copies of the levels."""
        return tuple(level.clone() for level in levels)


class Chain(nn.Module):
    """`image -> backbone -> [stages] -> neck -> [pyramid] -> readout -> number`.

    Args:
        backbone: Image batch `(B, 3, H, W)` to a tuple of stage outputs.
        neck: Stage outputs to a tuple of pyramid levels; None for a detector without a neck,
            whose head reads the stages.
        readout: Pyramid to `(B,)` numbers; a module where it has weights.
        stages: Names of the stage outputs, such as `("C2", "C3", "C4", "C5")`.
        levels: Names of the pyramid levels; empty without a neck.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        neck: nn.Module | None,
        readout: Readout,
        stages: Sequence[str],
        levels: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.readout = readout
        self.stages = Tap()
        self.pyramid = Tap()
        self.names: dict[Place, tuple[str, ...]] = {"stages": tuple(stages)}
        if neck is not None:
            self.names["pyramid"] = tuple(levels)

    def places(self) -> tuple[Place, ...]:
        """The places at which this chain can be cut: `stages`, `pyramid`."""
        return tuple(self.names)

    def levels(self, at: Place) -> tuple[str, ...]:
        """Return the names of the levels at a place.

        Raises:
            FpnProbeError: If the detector has no such place.
        """
        if at not in self.names:
            raise FpnProbeError(
                f"no attribution at {at!r}: this detector has no pyramid (no neck); "
                f"expected one of {', '.join(self.names)}"
            )
        return self.names[at]

    def tap(self, at: Place) -> Tap:
        """The layer to give to captum for a place."""
        self.levels(at)
        return self.stages if at == "stages" else self.pyramid

    def forward(self, image: Tensor, ids: Tensor) -> Tensor:
        """The whole chain, `(B, 3, H, W)` to `(B,)`."""
        return self.from_stages(_as_levels(self.backbone(image)), ids)

    def from_stages(self, stages: Levels, ids: Tensor) -> Tensor:
        """The rest of the chain, given the stage outputs."""
        stages = self.stages(*stages)
        if self.neck is None:
            return _connect_unread_levels(self.readout(stages, ids), stages)
        return _connect_unread_levels(self.from_pyramid(_as_levels(self.neck(stages)), ids), stages)

    def from_pyramid(self, pyramid: Levels, ids: Tensor) -> Tensor:
        """The rest of the chain, given the pyramid."""
        pyramid = self.pyramid(*pyramid)
        return _connect_unread_levels(self.readout(pyramid, ids), pyramid)

    def features(self, image: Tensor, at: Place) -> Levels:
        """The detached maps at a place, `(B, C, H, W)` each."""
        self.levels(at)
        with torch.no_grad():
            stages = _as_levels(self.backbone(image))
            maps = stages if at == "stages" or self.neck is None else _as_levels(self.neck(stages))
        if len(maps) != len(self.levels(at)):
            raise FpnProbeError(
                f"the detector gives {len(maps)} maps at {at!r}, expected {len(self.levels(at))}: "
                f"{', '.join(self.levels(at))}"
            )
        return tuple(level.detach() for level in maps)

    def tail(self, at: Place) -> "Tail":
        """The chain from a place on, as a module of its levels."""
        self.levels(at)
        return Tail(self.from_stages if at == "stages" else self.from_pyramid, self.tap(at))


class Tail(nn.Module):
    """A chain from one of its places on: `(level, level, ..., ids) -> (B,)`."""

    def __init__(self, read_levels: Callable[[Levels, Tensor], Tensor], layer: Tap) -> None:
        super().__init__()
        self.read_levels = read_levels
        self.layer = layer

    def forward(self, *levels_and_ids: Tensor) -> Tensor:
        """Return the numbers `(B,)`."""
        *levels, ids = levels_and_ids
        return self.read_levels(tuple(levels), ids)


def _as_levels(output: Tensor | Sequence[Tensor]) -> Levels:
    return (output,) if isinstance(output, Tensor) else tuple(output)


def _connect_unread_levels(value: Tensor, levels: Levels) -> Tensor:
    """Give levels that the value does not read (P6 of an RoI) a gradient of zero, not an error."""
    for level in levels:
        value = value + 0 * level.flatten(1)[:, 0]
    return value
