"""Hooks on backbone and neck: the stage outputs and maps of a forward pass, by level."""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from fpnprobe.mm.adapters.observing.observation import Observation
from fpnprobe.mm.adapters.observing.recorder import Recorder
from fpnprobe.mm.detectors.map_stages import map_taps
from fpnprobe.mm.detectors.stages import neck_levels


def watch_maps(
    detector: Any, observation: Observation, recorder: Recorder, undo: ExitStack
) -> None:
    """Record the maps of backbone and neck by level, and tell the recorder the levels."""
    backbone = detector.backbone
    numbers = observation.stage_levels

    def after_backbone(_m: nn.Module, inputs: Any, maps: Any) -> None:
        if not torch.is_grad_enabled():
            return
        maps = [maps] if isinstance(maps, Tensor) else list(maps)
        if not numbers:
            taps = map_taps(maps, inputs[0].shape[-1])
            levels = [tap.level for tap in taps]
            observation.record_backbone_maps(dict(zip(levels, maps, strict=True)), taps)
            recorder.saw_maps(levels)
            return
        out_indices = getattr(backbone, "out_indices", None)
        levels = numbers[-len(maps) :]
        if out_indices is not None and len(maps) != len(numbers):
            levels = [numbers[i] for i in out_indices if i < len(numbers)]
        observation.record_backbone_maps(dict(zip(levels, maps, strict=False)))
        recorder.saw_maps(levels)

    def after_neck(_m: nn.Module, _i: Any, maps: Any) -> None:
        if not torch.is_grad_enabled():
            return
        maps = [maps] if isinstance(maps, Tensor) else list(maps)
        levels = neck_levels(maps, observation.backbone_map_sizes)
        recorder.saw_maps(levels)
        observation.record_pyramid(dict(zip(levels, maps, strict=True)))

    undo.callback(backbone.register_forward_hook(after_backbone).remove)
    if getattr(detector, "neck", None) is not None:
        undo.callback(detector.neck.register_forward_hook(after_neck).remove)
