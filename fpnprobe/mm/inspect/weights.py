"""Weights of an mmengine checkpoint, read without running code from it."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fpnprobe.errors import FpnProbeError


def read_weights(checkpoint: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Weights and meta data of an mmengine checkpoint, without running code from it."""
    if not checkpoint.is_file():
        raise FpnProbeError(f"no checkpoint {checkpoint}: expected a file of trained weights")
    allowed: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    with contextlib.suppress(ImportError):  # onedl-mmengine names what its own checkpoints hold
        from mmengine.runner.checkpoint import get_torch_safe_globals

        allowed = torch.serialization.safe_globals(get_torch_safe_globals())
    try:
        with allowed:
            content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen types here
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise FpnProbeError(
            f"{checkpoint} is not a checkpoint that can be read without running code ({line}): "
            "save its state_dict alone"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not state:
        raise FpnProbeError(f"{checkpoint} holds no weights: expected a 'state_dict'")
    meta = content.get("meta", {})
    return state, meta if isinstance(meta, Mapping) else {}


def load_weights(detector: Any, state: Mapping[str, Any], checkpoint: Path) -> None:
    """Put weights into a detector.

    Raises:
        FpnProbeError: If they are those of another model.
    """
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    try:
        detector.load_state_dict(plain)
    except RuntimeError as error:
        lines = " ".join(str(error).split())[:200]
        raise FpnProbeError(f"{checkpoint} holds the weights of another model: {lines}") from None
