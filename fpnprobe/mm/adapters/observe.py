"""One observed forward pass of an mmdet detector: partition, taps, losses."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters.followed_heads import FollowedHeads
from fpnprobe.mm.adapters.level_rows import add_levels
from fpnprobe.mm.adapters.module_paths import auxiliary_stage, term_of
from fpnprobe.mm.adapters.objects import Objects
from fpnprobe.mm.adapters.observation import Observation
from fpnprobe.mm.adapters.recorder import Recorder
from fpnprobe.mm.adapters.registry import adapter_for, calls_heads_as_usual, fits
from fpnprobe.mm.detectors.map_stages import map_taps
from fpnprobe.mm.detectors.stages import Stage, has_stages, neck_levels, stages
from fpnprobe.probing.graph_guards.checkpoints import partial_checkpoints
from fpnprobe.probing.graph_guards.compiled import eagerly
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.passes.arrivals import with_gradient
from fpnprobe.probing.rows import LossRows
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
    found = stages(detector.backbone) if has_stages(detector.backbone) else ()
    seen = Observation(LossPartition(tuple(buckets)), found)
    recorder = Recorder(seen.partition, values=values)
    follow = labels == "provenance" or (labels == "auto" and not _all_fit(detector))
    with ExitStack() as undo:
        followed = FollowedHeads(seen.partition, collect=collect) if follow else None
        _watch_inputs(detector, seen, recorder, followed, undo)
        for stage in found:

            def record(_m: nn.Module, _i: Any, out: Any, stage: Stage = stage) -> Any:
                frozen = isinstance(out, Tensor) and not out.requires_grad
                if arrivals and frozen and torch.is_grad_enabled():
                    out = with_gradient(out)
                seen.record_stage_output(stage, out)
                return out

            undo.callback(stage.module.register_forward_hook(record).remove)
        _watch_maps(detector, seen, recorder, undo)
        if followed is None:
            _watch_heads(detector, seen, recorder, undo)
        else:
            _announce_terms(detector, seen)
            followed.attach(detector, undo)
            for path, module in detector.named_modules():
                if hasattr(module, "map_roi_levels"):
                    _watch_extractor(path, module, recorder, undo)
        for path, module in detector.named_modules():
            if auxiliary_stage(path) is not None:
                _watch_auxiliary(module, seen, undo)
        undo.enter_context(partial_checkpoints(seen.notes.append))
        undo.enter_context(eagerly(detector, seen.notes.append))
        yield seen


def _all_fit(detector: nn.Module) -> bool:
    """Whether every loss module belongs to a head that its adapter was written for."""
    heads = []
    for path, module in detector.named_modules():
        if path and hasattr(module, "bbox_head") and not calls_heads_as_usual(module):
            return False
        if adapter_for(module) is not None:
            if not fits(module):
                return False
            heads.append(path)
        if path.rpartition(".")[2] == "criterion":  # a loss that no adapter listens to
            return False
        if isinstance(module, LossRows) or _is_loss(path, module):
            owner = path.rpartition(".")[0]
            if not any(f"{owner}.".startswith(f"{head}.") or head == "" for head in heads):
                return False
            if getattr(module, "custom_cls_channels", False):  # its loss is a dict
                return False
    return bool(heads)


def _announce_terms(detector: nn.Module, seen: Observation) -> None:
    for path, module in detector.named_modules():
        term = term_of(path)
        if _is_loss(path, module) and term not in seen.partition.terms:
            seen.partition.terms.append(term)


def _watch_inputs(
    detector: nn.Module,
    seen: Observation,
    recorder: Recorder,
    followed: FollowedHeads | None,
    undo: ExitStack,
) -> None:
    def before(_module: nn.Module, args: Any, kwargs: Any) -> None:
        samples = kwargs.get("data_samples", args[1] if len(args) > 1 else None)
        if samples is None:
            raise FpnProbeError("the detector was called without data samples: nothing to measure")
        seen.release()
        objects = Objects.of(samples, seen.partition.buckets)
        recorder.begin(objects)
        if followed is not None:
            followed.begin(objects)

    def after(_module: nn.Module, _args: Any, losses: Any) -> None:
        seen.losses = losses if isinstance(losses, dict) else {}
        seen.witness = recorder.witness
        if followed is not None:
            seen.witness = followed.witness
            followed.finish()
            add_levels(seen.partition, seen._pyramid or seen._maps, recorder.levels)

    undo.callback(detector.register_forward_pre_hook(before, with_kwargs=True).remove)
    # Here, not around a distributed wrapper: its output node starts the exchange of gradients.
    undo.callback(detector.register_forward_hook(after).remove)


def _watch_maps(detector: Any, seen: Observation, recorder: Recorder, undo: ExitStack) -> None:
    backbone = detector.backbone
    numbers = [stage.level for stage in seen._stages]

    def after_backbone(_m: nn.Module, inputs: Any, maps: Any) -> None:
        if not torch.is_grad_enabled():
            return
        maps = [maps] if isinstance(maps, Tensor) else list(maps)
        if not numbers:
            seen._map_taps = map_taps(maps, inputs[0].shape[-1])
            levels = [tap.level for tap in seen._map_taps]
            seen._maps.clear()
            seen._maps.update(zip(levels, maps, strict=True))
            recorder.saw_maps(levels)
            return
        chosen = getattr(backbone, "out_indices", None)
        levels = numbers[-len(maps) :]
        if chosen is not None and len(maps) != len(numbers):
            levels = [numbers[i] for i in chosen if i < len(numbers)]
        seen._maps.clear()
        seen._maps.update(zip(levels, maps, strict=False))
        recorder.saw_maps(levels)

    def after_neck(_m: nn.Module, _i: Any, maps: Any) -> None:
        if not torch.is_grad_enabled():
            return
        maps = [maps] if isinstance(maps, Tensor) else list(maps)
        sizes = {level: (one.shape[-2], one.shape[-1]) for level, one in seen._maps.items()}
        levels = neck_levels(maps, sizes)
        recorder.saw_maps(levels)
        seen._pyramid.clear()
        seen._pyramid.update(zip(levels, maps, strict=True))

    undo.callback(backbone.register_forward_hook(after_backbone).remove)
    if getattr(detector, "neck", None) is not None:
        undo.callback(detector.neck.register_forward_hook(after_neck).remove)


def _watch_heads(
    detector: nn.Module, seen: Observation, recorder: Recorder, undo: ExitStack
) -> None:
    heads: list[str] = []
    for path, module in detector.named_modules():
        adapter = adapter_for(module)
        if adapter is not None:
            heads.append(path)
            if term_of(path) not in seen.partition.terms:
                seen.partition.terms.append(term_of(path))
            adapter(module, path, recorder, undo).attach()
        if isinstance(module, LossRows) or _is_loss(path, module):
            owner = path.rpartition(".")[0]
            kind = type(detector.get_submodule(owner)).__name__
            if not any(f"{owner}.".startswith(f"{head}.") or head == "" for head in heads):
                raise FpnProbeError(
                    f"head {kind} ({owner or 'the detector'}) is not known: add a small adapter "
                    f"with @fpnprobe.mm.adapters.register_head({kind}), see its docstring"
                )
            recorder.watch(path, module, kind, undo)
        if hasattr(module, "map_roi_levels"):
            _watch_extractor(path, module, recorder, undo)


def _is_loss(path: str, module: nn.Module) -> bool:
    name = path.rpartition(".")[2]
    return name.startswith("loss_") and not isinstance(module, (nn.ModuleList, nn.Sequential))


def _watch_extractor(path: str, module: Any, recorder: Recorder, undo: ExitStack) -> None:
    def after(_m: nn.Module, args: Any, kwargs: Any, _out: Any) -> None:
        features = kwargs.get("feats", args[0] if args else None)
        rois = kwargs.get("rois", args[-1])
        recorder.levels.saw_rois(path, module, features, rois)

    undo.callback(module.register_forward_hook(after, with_kwargs=True).remove)


def _watch_auxiliary(module: nn.Module, seen: Observation, undo: ExitStack) -> None:
    def after(_m: nn.Module, _i: Any, out: Any) -> None:
        values = out.values() if isinstance(out, dict) else out
        for one in (values,) if isinstance(values, Tensor) else values or ():
            if isinstance(one, Tensor) and one.grad_fn is not None:
                seen.auxiliary.append(one)

    undo.callback(module.register_forward_hook(after).remove)
