"""One observed forward pass of an mmdet detector: partition, taps, losses."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters.followed_heads import FollowedHeads
from fpnprobe.mm.adapters.level_rows import add_levels
from fpnprobe.mm.adapters.module_paths import auxiliary_stage
from fpnprobe.mm.adapters.objects import Objects
from fpnprobe.mm.adapters.observing.observation import Observation
from fpnprobe.mm.adapters.observing.recorder import Recorder
from fpnprobe.mm.adapters.observing.watched_heads import (
    announce_terms,
    every_head_fits,
    watch_auxiliary,
    watch_extractor,
    watch_heads,
)
from fpnprobe.mm.adapters.observing.watched_maps import watch_maps
from fpnprobe.mm.detectors.stages import Stage, has_stages, stages
from fpnprobe.probing.graph_guards.checkpoints import partial_checkpoints
from fpnprobe.probing.graph_guards.compiled import eagerly
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.passes.arrivals import with_gradient
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket

Labels = Literal["auto", "adapters", "provenance"]


@contextmanager
def observe(
    detector: Any,
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
    *,
    values: bool = True,
    arrivals: bool = True,
    labels: Labels = "auto",
    collect: bool = False,
) -> Iterator[Observation]:
    """Observe the forward passes made inside; the last one counts.

    Nothing that the detector computes is changed, and every hook and wrapper is gone afterwards,
    also when the forward pass raises. Inside, compiled parts run eagerly, and checkpoints are
    non-reentrant.

    Args:
        detector: An mmdet detector, without the wrapper of distributed training.
        buckets: Scale buckets of the annotation area.
        values: Whether the loss's own split by bucket is wanted, which costs a call of each loss
            function per bucket; gradients do not need it.
        arrivals: Whether the outputs of frozen stages get a gradient: what would arrive there. No
            parameter gets another one for it.
        labels: Who says which object a row belongs to: the adapters where every head has one
            ("auto"), always the adapters, or always provenance.
        collect: Whether rows whose targets contradict their objects are told in
            `witness.problems`, all of them, instead of raised at the first.

    Raises:
        FpnProbeError: If the detector has no backbone, or a head has no adapter where one is
            asked for.
    """
    if not isinstance(getattr(detector, "backbone", None), nn.Module):
        raise FpnProbeError(
            f"detector {type(detector).__name__} has no backbone of its own: give the detector "
            "that it wraps"
        )
    listened_stages = stages(detector.backbone) if has_stages(detector.backbone) else ()
    observation = Observation(LossPartition(tuple(buckets)), listened_stages)
    recorder = Recorder(observation.partition, values=values)
    follow = labels == "provenance" or (labels == "auto" and not every_head_fits(detector))
    with ExitStack() as undo:
        followed = FollowedHeads(observation.partition, collect=collect) if follow else None
        _watch_inputs(detector, observation, recorder, followed, undo)
        for stage in listened_stages:

            def record(_m: nn.Module, _i: Any, out: Any, stage: Stage = stage) -> Any:
                frozen = isinstance(out, Tensor) and not out.requires_grad
                if arrivals and frozen and torch.is_grad_enabled():
                    out = with_gradient(out)
                observation.record_stage_output(stage, out)
                return out

            undo.callback(stage.module.register_forward_hook(record).remove)
        watch_maps(detector, observation, recorder, undo)
        if followed is None:
            watch_heads(detector, observation, recorder, undo)
        else:
            announce_terms(detector, observation)
            followed.attach(detector, undo)
            for path, module in detector.named_modules():
                if hasattr(module, "map_roi_levels"):
                    watch_extractor(path, module, recorder, undo)
        for path, module in detector.named_modules():
            if auxiliary_stage(path) is not None:
                watch_auxiliary(module, observation, undo)
        undo.enter_context(partial_checkpoints(observation.notes.append))
        undo.enter_context(eagerly(detector, observation.notes.append))
        yield observation


def _watch_inputs(
    detector: nn.Module,
    observation: Observation,
    recorder: Recorder,
    followed: FollowedHeads | None,
    undo: ExitStack,
) -> None:
    def before(_module: nn.Module, args: Any, kwargs: Any) -> None:
        samples = kwargs.get("data_samples", args[1] if len(args) > 1 else None)
        if samples is None:
            raise FpnProbeError("the detector was called without data samples: nothing to measure")
        observation.release()
        objects = Objects.of(samples, observation.partition.buckets)
        recorder.begin(objects)
        if followed is not None:
            followed.begin(objects)

    def after(_module: nn.Module, _args: Any, losses: Any) -> None:
        observation.losses = losses if isinstance(losses, dict) else {}
        observation.witness = recorder.witness
        if followed is not None:
            observation.witness = followed.witness
            followed.finish()
            add_levels(observation.partition, observation.maps, recorder.levels)

    undo.callback(detector.register_forward_pre_hook(before, with_kwargs=True).remove)
    # Here, not around a distributed wrapper: its output node starts the exchange of gradients.
    undo.callback(detector.register_forward_hook(after).remove)
