"""The complexity of a detector: parameters, operations and output shapes by module."""

from collections.abc import Iterator
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

_ORDER = ("backbone", "neck", "rpn_head", "bbox_head", "roi_head", "auxiliary_heads")


def complexity(detector: BaseDetector, *, size: tuple[int, int]) -> dict[str, Any]:
    """Return the parameters and operations of a detector, in all and of its larger modules.

    Operations are those of predicting one image: two for each multiplication and addition of its
    convolutions and matrix products (other operations are not counted, nor is RoIAlign). Auxiliary
    heads have parameters in training and no operation in a prediction. The detector's mode and the
    random state stay as they are.

    Args:
        detector: A built detector.
        size: Height and width of the image, px.

    Returns:
        `parameters`, `predicting` (those without auxiliary heads), `trainable`, `flops`, `image`
        (height, width) and `modules`: by name the `type`, `parameters`, `flops` and output `shape`
        of parts that do not overlap, in the order of the forward pass.

    >>> from fpnprobe.mm.detectors import build_detector, detector_config
    >>> model = build_detector(detector_config({"width": 8, "channels": 16, "hidden": 16}, 5))
    >>> facts = complexity(model, size=(64, 64))
    >>> facts["parameters"] == sum(m["parameters"] for m in facts["modules"].values())
    True
    >>> facts["modules"]["neck.fpn_convs"]["shape"]
    [[1, 16, 16, 16], [1, 16, 8, 8], [1, 16, 4, 4], [1, 16, 2, 2]]
    """
    shapes: dict[str, Any] = {}

    def shape_hook(name: str) -> Any:
        def keep_shape(_module: nn.Module, _inputs: Any, out: Any) -> None:
            shapes.setdefault(name, _output_shape(out))

        return keep_shape

    every = dict(detector.named_modules())
    handles = [module.register_forward_hook(shape_hook(name)) for name, module in every.items()]
    modes = [(module, module.training) for module in every.values()]
    device = next(detector.parameters()).device
    shape = dict.fromkeys(("img_shape", "ori_shape", "pad_shape", "batch_input_shape"), size)
    sample = DetDataSample(metainfo={**shape, "scale_factor": (1.0, 1.0)})
    devices = [device] if device.type == "cuda" else []
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():  # noqa: SIM117
            with torch.random.fork_rng(devices=devices):
                detector.eval()
                detector(torch.zeros(1, 3, *size, device=device), [sample], mode="predict")
        counts = counter.get_flop_counts()
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    root = type(detector).__name__
    flops = {name.removeprefix(f"{root}."): sum(c.values()) for name, c in counts.items()}
    auxiliary = every.get("auxiliary_heads")
    return {
        "parameters": _count_parameters(detector),
        "predicting": _count_parameters(detector)
        - (0 if auxiliary is None else _count_parameters(auxiliary)),
        "trainable": sum(p.numel() for p in detector.parameters() if p.requires_grad),
        "flops": int(flops.get("Global", 0)),
        "image": list(size),
        "modules": {
            name: {
                "type": type(every[name]).__name__,
                "parameters": _count_parameters(every[name]),
                "flops": int(_join_items(flops, name, every[name], sum) or 0),
                "shape": _join_items(shapes, name, every[name], list),
            }
            for name in _component_names(detector)
        },
    }


def _component_names(detector: nn.Module) -> Iterator[str]:
    """Names of the parts of the detector's parts, or of the part where it is one whole."""
    for name in _ORDER:
        component = getattr(detector, name, None)
        if not isinstance(component, nn.Module) or not _count_parameters(component):
            continue
        inner = [child for child, module in component.named_children() if _count_parameters(module)]
        divided = name not in ("rpn_head", "bbox_head") and _count_parameters(component) == sum(
            _count_parameters(component.get_submodule(child)) for child in inner
        )
        yield from (f"{name}.{child}" for child in inner) if divided else (name,)


def _join_items(values: dict[str, Any], name: str, module: nn.Module, join: Any) -> Any:
    """Return the value of a module, or, for a list of modules, join those of its items."""
    if name in values or not isinstance(module, nn.ModuleList):
        return values.get(name)
    items = (values.get(f"{name}.{index}") for index in range(len(module)))
    return join(item for item in items if item is not None)


def _count_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _output_shape(out: Any) -> Any:
    if isinstance(out, Tensor):
        return list(out.shape)
    if isinstance(out, (list, tuple)):
        return [_output_shape(item) for item in out]
    return None
