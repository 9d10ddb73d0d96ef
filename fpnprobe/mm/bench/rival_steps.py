"""Training steps as users look at gradients today, each as a small twin, to compare costs with.

None of them splits a gradient exactly and by route; they are what a user has without this package.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from fpnprobe.mm.adapters import observe
from fpnprobe.mm.bench.steps import Steps
from fpnprobe.probing.calls import masked
from fpnprobe.scales import COCO_BUCKETS

_BINS = 64


def step_with_histograms(steps: Steps) -> None:
    """Histogram the gradient of every parameter by a hook on it, as `wandb.watch` does."""
    histograms: list[Any] = []

    def histogram(gradient: Tensor) -> None:
        flat = gradient.detach().reshape(-1).float()
        low, high = flat.min().item(), flat.max().item()
        histograms.append((low, high, flat.histc(bins=_BINS, min=low, max=high).tolist()))

    with ExitStack() as undo:
        for parameter in trained(steps.detector):
            source: Any = parameter
            undo.callback(source.register_hook(histogram).remove)
        steps.step()


def step_with_norms(steps: Steps) -> None:
    """Log the norm of every parameter's gradient and of all, as Lightning's `grad_norm` does."""
    loss = steps.loss()
    steps.wrapper.backward(loss)
    norms = {
        name: parameter.grad.norm(2)
        for name, parameter in steps.detector.named_parameters()
        if parameter.grad is not None
    }
    norms["total"] = torch.stack(list(norms.values())).norm(2)
    _ = {name: norm.item() for name, norm in norms.items()}
    _finish(steps)


def step_by_bucket(steps: Steps) -> None:
    """Take one backward pass for each bucket and background, to every parameter."""
    parameters = trained(steps.detector)
    with observe(steps.detector, COCO_BUCKETS) as observation:
        loss = steps.loss()
    cotangents, _ = observation.partition.cotangents(loss)
    for label in range(len(COCO_BUCKETS) + 1):
        rows, starts = masked(cotangents, label)
        if rows:
            gradients = torch.autograd.grad(
                rows, parameters, starts, retain_graph=True, allow_unused=True
            )
            _ = [gradient.norm(2) for gradient in gradients if gradient is not None]
    steps.wrapper.backward(loss)
    _finish(steps)


def step_with_jacobian(steps: Steps) -> None:
    """Hold the Jacobian of the loss terms, a row for each, and its Gramian, as TorchJD does."""
    parameters = trained(steps.detector)
    losses = list(steps.losses())
    rows = []
    for loss in losses:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        flat = [
            torch.zeros_like(parameter) if gradient is None else gradient
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ]
        rows.append(torch.cat([gradient.reshape(-1) for gradient in flat]))
    jacobian = torch.stack(rows)  # (losses, parameters)
    _ = jacobian @ jacobian.T
    steps.wrapper.backward(torch.stack([loss.sum() for loss in losses]).sum())
    _finish(steps)


RIVALS: dict[str, Callable[[Steps], None]] = {
    "twin: histograms by hooks": step_with_histograms,
    "twin: norm of each parameter": step_with_norms,
    "twin: a pass for each bucket": step_by_bucket,
    "twin: Jacobian of the losses": step_with_jacobian,
}


def trained(detector: nn.Module) -> list[nn.Parameter]:
    """List the parameters that are trained."""
    return [parameter for parameter in detector.parameters() if parameter.requires_grad]


def _finish(steps: Steps) -> None:
    steps.wrapper.step()
    steps.wrapper.zero_grad()


def rival_works(steps: Steps) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield each rival's name and its step."""
    for name, step in RIVALS.items():
        yield name, lambda step=step: step(steps)  # type: ignore[misc]
