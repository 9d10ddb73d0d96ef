"""The stage outputs of a plain model's forward pass, and what its auxiliary heads made."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.soundness.arithmetic import autocast_type
from fpnprobe.probing.taps import Tap, level_of


class StageOutputs:
    """Records the outputs of one forward pass while it is listening.

    Args:
        stages: Modules by tap, shallow to deep.

    Attributes:
        is_listening: Whether a forward pass with gradients is recorded.
        features: The output of each stage that ran.
        auxiliary: Tensors made by auxiliary heads.
        autocast: Type of autocast in that forward pass, or None.
    """

    def __init__(self, stages: Mapping[str, nn.Module]) -> None:
        self._stages = stages
        self.is_listening = False
        self.features: dict[str, Tensor] = {}
        self.auxiliary: list[Tensor] = []
        self.autocast: torch.dtype | None = None

    def record(self, name: str, feature: Tensor) -> None:
        """Take a stage's output; the model's hooks call it.

        Raises:
            FpnProbeError: If the stage ran before in this iteration.
        """
        if not (self.is_listening and torch.is_grad_enabled()):
            return
        if name in self.features:
            raise FpnProbeError(
                f"{name} ran twice before measure(): the probe reads one map of each stage; "
                "call measure() once for each forward pass, or make the other one under "
                "torch.no_grad()"
            )
        self.features[name] = feature
        self.autocast = autocast_type(feature.device.type)

    def record_auxiliary(self, _name: str, output: Tensor) -> None:
        """Take what an auxiliary head made; the model's hooks call it."""
        if self.is_listening and torch.is_grad_enabled():
            self.auxiliary.append(output)

    def taps(self) -> list[Tap]:
        """The taps of this forward pass, shallow to deep.

        Raises:
            FpnProbeError: If no stage ran.
        """
        if not self.features:
            raise FpnProbeError("no stage ran in this iteration: run the model inside watch()")
        return [
            Tap(
                name,
                level_of(name),
                self.features.get(name),
                tuple(module.parameters()) if name[0] == "C" else (),
                routed=name[0] == "C",
            )
            for name, module in self._stages.items()
        ]

    def forget(self) -> None:
        """Forget the tensors, and with them the graph."""
        self.features.clear()
        self.auxiliary.clear()

    def __repr__(self) -> str:
        return ", ".join(self._stages)
