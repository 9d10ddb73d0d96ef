"""Times and memory of pyramids; what `fpnprobe bench neck` reports."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from fpnprobe.errors import EnvironmentProblem
from fpnprobe.methods import CascadedGrouping, twins
from fpnprobe.mm.bench.timing import Clock, peak_memory, turns
from fpnprobe.mm.detectors import build_detector, detector_config
from fpnprobe.mm.detectors.complexity import complexity
from fpnprobe.mm.variants import apply_variant

CONFIG = "faster-rcnn_r50_fpn_1x_coco"
_STRIDES = (4, 8, 16, 32)


class Literal(nn.Module):
    """A neck whose grouping is computed as the equations are printed, with the same weights."""

    def __init__(self, neck: nn.Module) -> None:
        super().__init__()
        self.neck = neck

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The neck's levels."""
        grouping: Any = self.neck.grouping

        grouping.forward = lambda pyramid: twins.cascade(grouping, pyramid)
        try:
            levels: tuple[Tensor, ...] = self.neck(inputs)
        finally:
            del grouping.forward
        return levels


def measure(
    *,
    variants: Sequence[str],
    size: tuple[int, int],
    batch: int,
    repeats: int,
    device: str,
    options: dict[str, Any],
) -> list[dict[str, Any]]:
    """One row for each variant, literal twin and grouping alone; see `fpnprobe.bench.neck`."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EnvironmentProblem("bench neck on cuda: no CUDA device is available; use cpu")
    base = detector_config({"config": CONFIG}, 80)
    channels = base.neck.in_channels
    torch.manual_seed(0)
    inputs = [
        torch.randn(batch, count, size[0] // stride, size[1] // stride, device=device)
        for count, stride in zip(channels, _STRIDES, strict=True)
    ]
    works: dict[tuple[str, str], tuple[nn.Module, list[Tensor]]] = {}
    for name in ["FPN", *(variant for variant in variants if variant != "FPN")]:
        grouping_options = {} if name == "FPN" else options
        neck = build_detector(apply_variant(base, name, **grouping_options)).neck.to(device)
        works[name, "ours"] = (neck, inputs)
        grouping = getattr(neck, "grouping", None)
        if isinstance(grouping, CascadedGrouping):
            works[name, "literal"] = (Literal(neck), inputs)
            with torch.no_grad():
                pyramid = [feature.clone() for feature in neck.top_down(inputs)]
            works[f"{name} grouping", "ours"] = (grouping, pyramid)
            works[f"{name} grouping", "literal"] = (_Twin(grouping), pyramid)
    return _rows(works, repeats=repeats, device=device)


class _Twin(nn.Module):
    def __init__(self, grouping: CascadedGrouping) -> None:
        super().__init__()
        self.grouping = grouping

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        return twins.cascade(self.grouping, pyramid)


def _rows(
    works: dict[tuple[str, str], tuple[nn.Module, list[Tensor]]], *, repeats: int, device: str
) -> list[dict[str, Any]]:
    clock = Clock(device.startswith("cuda"))
    for turn in turns(
        "bench neck", repeats + 1
    ):  # by turns, so that what disturbs one disturbs all
        for key, (module, inputs) in works.items():
            for kind, work in _kinds(module, inputs).items():
                name = "/".join((*key, kind)) if turn else "warm-up"
                clock.time(name, work)
    rows = []
    for (name, order), (module, inputs) in works.items():
        row: dict[str, Any] = {"neck": name, "order": order}
        row["parameters"] = sum(p.numel() for p in module.parameters())
        tensors = [*module.parameters(), *inputs]

        def held(tensors: list[Tensor] = tensors) -> list[Tensor]:
            return tensors

        for kind, work in _kinds(module, inputs).items():
            row[f"{kind}_s"] = clock[f"{name}/{order}/{kind}"]
            row[f"{kind}_peak_bytes"] = peak_memory(work, device, held=held)
            for other in ("literal", "ours"):
                if (name, other) in works:
                    row[f"{kind}_{other}_ratio"] = (
                        clock[f"{name}/{other}/{kind}"] / row[f"{kind}_s"]
                    )
            if "grouping" not in name:
                row[f"{kind}_over_fpn"] = row[f"{kind}_s"] / clock[f"FPN/ours/{kind}"]
        row = {k: v for k, v in row.items() if not k.endswith(f"_{order}_ratio")}
        rows.append(row)
    return rows


def _kinds(module: nn.Module, inputs: list[Tensor]) -> dict[str, Callable[[], object]]:
    parameters = list(module.parameters())

    def forward() -> None:
        with torch.no_grad():
            module(inputs)

    def both() -> None:
        leaves = [feature.requires_grad_() for feature in inputs]
        outs = module(leaves)
        torch.autograd.grad(outs, [*leaves, *parameters], [torch.ones_like(out) for out in outs])

    return {"forward": forward, "forward_backward": both}


def detector_slowdown(
    *, variant: str, size: tuple[int, int], repeats: int, device: str, options: dict[str, Any]
) -> dict[str, Any]:
    """Time the whole detector's prediction of one image, a variant against FPN."""
    base = detector_config({"config": CONFIG}, 80)
    models, facts = {}, {}
    for name, grouping_options in (("FPN", {}), (variant, options)):
        models[name] = (
            build_detector(apply_variant(base, name, **grouping_options)).to(device).eval()
        )
        facts[name] = complexity(models[name], size=size)
    image = torch.randn(1, 3, *size, device=device)
    shape = dict.fromkeys(("img_shape", "ori_shape", "pad_shape", "batch_input_shape"), size)
    sample = DetDataSample(metainfo={**shape, "scale_factor": (1.0, 1.0)})
    clock = Clock(device.startswith("cuda"))
    for turn in turns("bench neck", repeats + 1):
        for name, model in models.items():
            predict = functools.partial(model, image, [sample], mode="predict")
            with torch.no_grad():
                clock.time(name if turn else "warm-up", predict)
    return {
        "variant": variant,
        "fpn_s": clock["FPN"],
        "variant_s": clock[variant],
        "fps_lost": 1 - clock["FPN"] / clock[variant],
        "parameters": {name: counts["parameters"] for name, counts in facts.items()},
        "flops": {name: counts["flops"] for name, counts in facts.items()},
    }
