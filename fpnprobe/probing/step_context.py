"""The facts of a training step that a measurement needs."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from fpnprobe.probing.passes.update_scales import UpdateScales


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """One step of a training, as far as its gradients depend on it.

    Attributes:
        iteration: 0-based training step.
        epoch: 0-based epoch.
        weight: Factor that the step puts on the loss, such as 1 / accumulated steps; it stays in
            the gradients.
        loss_scale: Factor of mixed precision, divided out again in float32.
        auxiliary: Tensors made by auxiliary heads, which tell their route.
        arithmetic: A key of `arithmetic.TOLERANCES`; "" for that of rows and taps.
        scales: Of the optimizer: mode `full` then tells each bucket's part of the step, too.
    """

    iteration: int = 0
    epoch: int = 0
    weight: float = 1.0
    loss_scale: float = 1.0
    auxiliary: Sequence[Tensor] = ()
    arithmetic: str = ""
    scales: UpdateScales | None = None
