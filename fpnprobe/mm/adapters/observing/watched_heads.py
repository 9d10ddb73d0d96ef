"""Hooks on the loss modules, RoI extractors and auxiliary heads of a detector."""

from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters.module_paths import term_of
from fpnprobe.mm.adapters.observing.observation import Observation
from fpnprobe.mm.adapters.observing.recorder import Recorder
from fpnprobe.mm.adapters.registry import adapter_for, calls_heads_as_usual, fits
from fpnprobe.probing.rows import LossRows


def every_head_fits(detector: nn.Module) -> bool:
    """Tell whether every loss module belongs to a head that its adapter was written for."""
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


def announce_terms(detector: nn.Module, observation: Observation) -> None:
    """Name the loss terms of a detector before its first pass, so that processes agree on them."""
    for path, module in detector.named_modules():
        term = term_of(path)
        if _is_loss(path, module) and term not in observation.partition.terms:
            observation.partition.terms.append(term)


def watch_heads(
    detector: nn.Module, observation: Observation, recorder: Recorder, undo: ExitStack
) -> None:
    """Attach the adapter of every head, and observe its loss modules; refuse a loss without one."""
    heads: list[str] = []
    for path, module in detector.named_modules():
        adapter = adapter_for(module)
        if adapter is not None:
            heads.append(path)
            if term_of(path) not in observation.partition.terms:
                observation.partition.terms.append(term_of(path))
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
            watch_extractor(path, module, recorder, undo)


def _is_loss(path: str, module: nn.Module) -> bool:
    name = path.rpartition(".")[2]
    return name.startswith("loss_") and not isinstance(module, (nn.ModuleList, nn.Sequential))


def watch_extractor(path: str, module: Any, recorder: Recorder, undo: ExitStack) -> None:
    """Tell which level each RoI of an extractor was pooled from."""

    def after(_m: nn.Module, args: Any, kwargs: Any, _out: Any) -> None:
        features = kwargs.get("feats", args[0] if args else None)
        rois = kwargs.get("rois", args[-1])
        recorder.levels.saw_rois(path, module, features, rois)

    undo.callback(module.register_forward_hook(after, with_kwargs=True).remove)


def watch_auxiliary(module: nn.Module, observation: Observation, undo: ExitStack) -> None:
    """Collect the tensors that an auxiliary head makes: gradients that come by them are its."""

    def after(_m: nn.Module, _i: Any, out: Any) -> None:
        values = out.values() if isinstance(out, dict) else out
        for output in (values,) if isinstance(values, Tensor) else values or ():
            if isinstance(output, Tensor) and output.grad_fn is not None:
                observation.auxiliary.append(output)

    undo.callback(module.register_forward_hook(after).remove)
