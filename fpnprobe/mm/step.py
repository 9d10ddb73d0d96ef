"""Observe the training step of an mmengine optimizer wrapper: forward, loss, gradients.

Three methods of the wrapper's instance are covered while the context is open and bare again after
it. Nothing that they return is changed, so accumulation, clipping and loss scaling see nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import torch
from mmengine.optim import OptimWrapper

from fpnprobe.errors import FpnProbeError


class StepObserver(Protocol):
    """What is told about every training step."""

    def forward(self) -> AbstractContextManager[object]:
        """Entered around the forward pass of the step."""

    def loss(self, loss: torch.Tensor) -> None:
        """The loss handed to the optimizer, unscaled, before the backward pass."""

    def backward(self) -> AbstractContextManager[object]:
        """Entered around the backward pass; leaving it comes before clipping and the update."""


@contextmanager
def observed_steps(wrapper: OptimWrapper, observer: StepObserver) -> Iterator[None]:
    """Inside, `observer` is told about each step that `wrapper` takes.

    Raises:
        FpnProbeError: if there are several optimizers, or a step is observed already.
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

        def optim_context(original: Any) -> Any:
            @contextmanager
            def around(model: torch.nn.Module) -> Iterator[None]:
                with original(model), observer.forward():
                    yield

            return around

        def update_params(original: Any) -> Any:
            def update(loss: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
                observer.loss(loss)
                return original(loss, *args, **kwargs)

            return update

        def backward(original: Any) -> Any:
            def back(*args: Any, **kwargs: Any) -> Any:
                with observer.backward():
                    return original(*args, **kwargs)

            return back

        cover("optim_context", optim_context)
        cover("update_params", update_params)
        cover("backward", backward)
        yield


def loss_scale(wrapper: OptimWrapper, like: torch.Tensor) -> torch.Tensor:
    """Factor the backward pass multiplies the loss by under fp16, on `like`'s device; else 1.

    The value stays on the device: reading it there costs no host synchronization.
    """
    scaler = getattr(wrapper, "loss_scaler", None)
    one = torch.ones((), device=like.device)
    scaled: torch.Tensor = one if scaler is None else scaler.scale(one)
    return scaled
