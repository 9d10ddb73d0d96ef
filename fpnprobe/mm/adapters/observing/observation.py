"""The result of one observed forward pass of a detector: partition, taps, losses."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.detectors.stages import Stage
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.provenance import MarkedObjects, Witness
from fpnprobe.probing.soundness.arithmetic import arithmetic_of, autocast_type
from fpnprobe.probing.taps import Tap


class Observation:
    """The record of the last forward pass.

    Attributes:
        partition: The loss as labeled rows.
        auxiliary: Tensors made by auxiliary heads.
        losses: The loss dict that the detector returned.
        witness: Which rows were held against their targets.
        autocast: Type of autocast in that forward pass, or None.
        notes: Sentences about what runs in another way than without the probe.
    """

    def __init__(self, partition: LossPartition, stages: Sequence[Stage]) -> None:
        self.partition = partition
        self.auxiliary: list[Tensor] = []
        self.losses: dict[str, Any] = {}
        self.witness = Witness(MarkedObjects(torch.zeros(0).long(), torch.zeros(0).long()))
        self._map_taps: list[Tap] = []
        self.autocast: torch.dtype | None = None
        self.notes: list[str] = []
        self._stages = stages
        self._features: dict[str, Tensor] = {}
        self._pyramid: dict[int, Tensor] = {}
        self._maps: dict[int, Tensor] = {}

    @property
    def arithmetic(self) -> str:
        """The coarsest arithmetic of that forward pass: a key of `arithmetic.TOLERANCES`."""
        tensors = [*self._features.values(), *(call.rows for call in self.partition.calls)]
        return arithmetic_of(tensors, autocast=self.autocast)

    def record_stage_output(self, stage: Stage, output: Any) -> None:
        """Take what a stage made, once in each forward pass.

        Raises:
            FpnProbeError: If the stage ran before in it: one gradient would be in two maps.
        """
        if not torch.is_grad_enabled():  # a teacher, or a sampler: no part of the loss
            return
        if stage.name in self._features:
            raise FpnProbeError(
                f"stage {stage.name} ran twice in one forward pass of the detector: the probe "
                "reads one map of each stage; call the backbone once with all images as one "
                "batch, or make the second call under torch.no_grad()"
            )
        feature = stage.pick(output)
        self._features[stage.name] = feature
        self.autocast = autocast_type(feature.device.type)

    @property
    def stage_levels(self) -> list[int]:
        """Levels of the stages that were found, shallow to deep."""
        return [stage.level for stage in self._stages]

    @property
    def maps(self) -> dict[int, Tensor]:
        """The maps that heads see, by level: the pyramid's, or the backbone's without a neck."""
        return self._pyramid or self._maps

    @property
    def backbone_map_sizes(self) -> dict[int, tuple[int, int]]:
        """Height and width of the backbone's maps, by level."""
        return {level: (m.shape[-2], m.shape[-1]) for level, m in self._maps.items()}

    def record_backbone_maps(self, maps: dict[int, Tensor], taps: Sequence[Tap] = ()) -> None:
        """Take the maps of the backbone by level; `taps` where it has no stages to listen to."""
        self._maps = maps
        self._map_taps = list(taps)

    def record_pyramid(self, maps: dict[int, Tensor]) -> None:
        """Take the maps of the neck by level."""
        self._pyramid = maps

    def taps(self) -> list[Tap]:
        """Stage outputs, shallow to deep, then pyramid levels.

        Raises:
            FpnProbeError: If there was no forward pass.
        """
        if not self._features and not self._map_taps:
            raise FpnProbeError("no forward pass was observed: call the detector inside observe()")
        stage_taps = [
            Tap(
                s.name,
                s.level,
                self._features.get(s.name),
                s.parameters,
                routed=True,
                exit=self._find_exit(s),
            )
            for s in self._stages
        ]
        levels = [Tap(f"P{level}", level, t) for level, t in self._pyramid.items()]
        return stage_taps + self._map_taps + levels

    def _find_exit(self, stage: Stage) -> Tensor | None:
        """The backbone's own output for a stage, where that is not the stage's output."""
        exit_map = self._maps.get(stage.level)
        return None if exit_map is self._features.get(stage.name) else exit_map

    def release(self) -> None:
        """Forget the tensors, and with them the graph."""
        self.partition.forget()
        self.auxiliary.clear()
        self.losses = {}
        self._features.clear()
        self._pyramid.clear()
        self._maps.clear()
        self._map_taps = []
