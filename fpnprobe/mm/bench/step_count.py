"""Counts the multiplications and saved bytes of a training step, from shapes."""

from typing import Any

from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from torch.utils.flop_counter import FlopCounterMode

from fpnprobe.mm import quiet
from fpnprobe.mm.bench.activation_memory import WithoutConvolutions, saved_bytes
from fpnprobe.mm.detectors.complexity import complexity


def count_step(
    model: Any, *, size: tuple[int, int], images: int, classes: int = 80
) -> dict[str, int]:
    """Count one training step of `images` images on one device, without computing it.

    Args:
        model: The mmdet model config, variant applied.
        size: Height and width in px, multiples of 32.
        images: Images of the device.
        classes: Classes that the model tells apart.

    Returns:
        `flops` of predicting one image (two for each multiplication and addition) and
        `training_flops` of the forward pass of its loss, auxiliary heads included; `parameters`,
        `trainable` ones, and `saved_bytes` of float32 activations that the step keeps for its
        backward pass.
    """
    with quiet.construction(), DefaultScope.overwrite_default_scope("mmdet"):
        detector = MODELS.build(model)  # no weights are drawn or loaded: shapes are enough
    with WithoutConvolutions():  # type: ignore[no-untyped-call]
        facts = complexity(detector, size=size)
    with FlopCounterMode(display=False) as counter:
        saved = saved_bytes(detector, size=size, images=images, classes=classes)
    return {
        "flops": facts["flops"],
        "training_flops": counter.get_total_flops() // images,
        "parameters": facts["parameters"],
        "trainable": facts["trainable"],
        "saved_bytes": saved,
    }
