"""Compiled modules hide what happens inside: probed steps run them eagerly."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn


def has_compiled(model: nn.Module) -> bool:
    """Tell whether `torch.compile` or `Module.compile` is on any part of a model."""
    return any(
        getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod")
        for module in model.modules()
    )


@contextmanager
def eagerly(
    model: nn.Module, on_change: Callable[[str], object] = lambda _sentence: None
) -> Iterator[None]:
    """Inside, compiled parts of the model run as written; nothing changes where there are none.

    Args:
        model: The model.
        on_change: Is given a sentence where there are compiled parts.
    """
    with ExitStack() as undo:
        if has_compiled(model):
            stance: Any = torch.compiler.set_stance
            undo.enter_context(stance("force_eager"))
            on_change(
                "compiled parts run eagerly on probed steps, whose sums may differ from compiled "
                "ones in the last bits"
            )
        yield
