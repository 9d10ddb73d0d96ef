"""Observe the training step of an mmengine optimizer wrapper: forward, update, backward.

Three methods of the wrapper's instance are covered while the context is open and bare again after
it. Nothing that they take or return is changed, so accumulation, clipping and loss scaling see
nothing of it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import torch
from mmengine.optim import OptimWrapper

from fpnprobe.errors import FpnProbeError


class StepObserver(Protocol):
    """The contexts that are entered around the parts of every training step."""

    def forward(self) -> AbstractContextManager[object]:
        """Around the forward pass."""

    def update(self, loss: torch.Tensor) -> AbstractContextManager[object]:
        """Around backward pass, clipping and optimizer; `loss` is what the optimizer was given."""

    def backward(self) -> AbstractContextManager[object]:
        """Around the backward pass; leaving it comes before clipping and the optimizer's step."""


@contextmanager
def observed_steps(wrapper: OptimWrapper, observer: StepObserver) -> Iterator[None]:
    """Inside, `observer` sees every step that `wrapper` takes.

    Raises:
        FpnProbeError: If there are several optimizers, or something covers its methods already.
    """
    if not isinstance(wrapper, OptimWrapper):
        raise FpnProbeError(
            f"the optimizer wrapper is a {type(wrapper).__name__}: the probe follows one loss and "
            "one OptimWrapper or AmpOptimWrapper; train with a single optimizer"
        )
    with ExitStack() as undo:

        def cover(name: str, make: Callable[[Any], Any]) -> None:
            if name in vars(wrapper):
                raise FpnProbeError(
                    f"the optimizer wrapper's {name} is covered already: use one gradient probe"
                )
            setattr(wrapper, name, make(getattr(wrapper, name)))
            undo.callback(vars(wrapper).pop, name, None)

        cover("optim_context", lambda original: _forward(original, observer))
        cover("update_params", lambda original: _update(original, observer))
        cover("backward", lambda original: _backward(original, observer))
        yield


def _forward(original: Any, observer: StepObserver) -> Any:
    @contextmanager
    def optim_context(model: torch.nn.Module) -> Iterator[None]:
        with original(model), observer.forward():
            yield

    return optim_context


def _update(original: Any, observer: StepObserver) -> Any:
    def update_params(loss: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        with observer.update(loss):
            return original(loss, *args, **kwargs)

    return update_params


def _backward(original: Any, observer: StepObserver) -> Any:
    def backward(*args: Any, **kwargs: Any) -> Any:
        with observer.backward():
            return original(*args, **kwargs)

    return backward


def loss_weight(wrapper: OptimWrapper) -> float:
    """Factor that gradient accumulation puts on the loss of the coming backward pass."""
    return float(wrapper.scale_loss(torch.ones((), dtype=torch.float64)))


def loss_scale(wrapper: OptimWrapper, like: torch.Tensor) -> torch.Tensor:
    """Factor that fp16 training puts on the loss, on `like`'s device; else 1.

    Left on the device: to read it there would make the host wait.
    """
    scaler = getattr(wrapper, "loss_scaler", None)
    unit = torch.ones((), device=like.device)
    scaled: torch.Tensor = unit if scaler is None else scaler.scale(unit)
    return scaled
