"""Gradient checkpointing under the probe: partial gradients, and no state counted twice.

A reentrant checkpoint refuses partial gradients; inside `partial_checkpoints` those that are called
through `torch.utils.checkpoint` are non-reentrant. These compute their forward pass again in every
backward pass that reaches them, so that batch normalization would count its images once more in
each pass of the probe: inside `state_set_aside` such a pass changes nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from fpnprobe.errors import FpnProbeError


@contextmanager
def partial_checkpoints(
    on_change: Callable[[str], object] = lambda _sentence: None,
) -> Iterator[None]:
    """Inside, `torch.utils.checkpoint.checkpoint` is non-reentrant, whatever it is asked for.

    Args:
        on_change: Is given a sentence where that is another kind than was asked for.
    """
    module: Any = torch.utils.checkpoint
    original: Callable[..., Any] = module.checkpoint

    def checkpoint(function: Any, *args: Any, **options: Any) -> Any:
        if options.get("use_reentrant") is not False:
            on_change(
                "checkpoints are non-reentrant on probed steps, whose sums may differ from "
                "reentrant ones in the last bit"
            )
        return original(function, *args, **{**options, "use_reentrant": False})

    module.checkpoint = checkpoint
    try:
        yield
    finally:
        module.checkpoint = original


@contextmanager
def state_set_aside() -> Iterator[None]:
    """Modules that run inside, as a checkpoint's do, leave their buffers as they are."""
    original_buffers: dict[nn.Module, dict[str, Tensor]] = {}

    def lend_copies(module: nn.Module, _args: Any) -> None:
        buffers = {name: b for name, b in module._buffers.items() if b is not None}
        if buffers and module.training and module not in original_buffers:
            original_buffers[module] = buffers
            for name, buffer in buffers.items():
                module._buffers[name] = buffer.clone()

    def take_back(module: nn.Module, _args: Any, _output: Any) -> None:
        module._buffers.update(original_buffers.pop(module, {}))

    with ExitStack() as undo:
        undo.callback(_restore_buffers, original_buffers)
        undo.callback(register_module_forward_pre_hook(lend_copies).remove)
        undo.callback(register_module_forward_hook(take_back, always_call=True).remove)
        yield


def _restore_buffers(buffers_by_module: dict[nn.Module, dict[str, Tensor]]) -> None:
    for module, buffers in buffers_by_module.items():
        module._buffers.update(buffers)
    buffers_by_module.clear()


def refuse_reentrant(loss: Tensor) -> None:
    """Raise where the graph holds reentrant checkpoints, which give no partial gradients.

    Raises:
        FpnProbeError: Naming the remedy.
    """
    todo = [loss.grad_fn] if loss.grad_fn is not None else []
    refused = set(todo)
    while todo:
        node = todo.pop()
        if "CheckpointFunction" in node.name():
            raise FpnProbeError(
                "the model uses reentrant gradient checkpointing, which refuses partial gradients: "
                "call torch.utils.checkpoint.checkpoint by its full name, which the probe makes "
                "non-reentrant, or give it use_reentrant=False"
            )
        for child, _ in node.next_functions:
            if child is not None and child not in refused:
                refused.add(child)
                todo.append(child)
