"""Losses, learning rate and uncertainty over a training, as `training.parquet`."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch import nn

from fpnprobe.methods import Uncertainty
from fpnprobe.mm.training.checkpoint import bare
from fpnprobe.store import atomic

FILE = "training.parquet"
COLUMNS = ("iteration", "name", "value")
_POINTS = 200  # of each curve


class TrainingLog(Hook):
    """Keeps the scalars of a few hundred passes: columns `iteration`, `name`, `value`.

    Names are the losses as mmdet calls them, `lr`, and `alpha C2 classification`: the mean
    uncertainty of the classifications of the auxiliary branch on C2 (Eq. 11). Values are those of
    the first process's images. The file is written with every checkpoint and at the end.

    Args:
        folder: of the cell.
        passes: length of the training.
    """

    def __init__(self, folder: Path, *, passes: int) -> None:
        self.path = folder / FILE
        self.period = max(1, -(-passes // _POINTS))
        self._rows: list[tuple[int, str, float]] = []
        self._alpha: dict[str, torch.Tensor] = {}
        self._handles: list[Any] = []

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": list(self._rows)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._rows = [(int(at), str(name), float(value)) for at, name, value in state["rows"]]

    def before_train_iter(self, runner: Any, batch_idx: int, **_: Any) -> None:
        """Listen to the uncertainties of a pass that will be kept."""
        if batch_idx % self.period or not is_main_process():
            return
        for name, module in _uncertainties(bare(runner.model)):
            self._handles.append(module.register_forward_hook(self._listen(name)))

    def after_train_iter(self, runner: Any, batch_idx: int, outputs: Any = None, **_: Any) -> None:
        """Keep the pass's scalars."""
        self._forget()
        if batch_idx % self.period or not is_main_process():
            return
        losses = {name: value for name, value in (outputs or {}).items() if "loss" in name}
        rate = runner.optim_wrapper.param_groups[0]["lr"]
        for name, value in {**losses, "lr": rate, **self._alpha}.items():
            self._rows.append((batch_idx, name, float(torch.as_tensor(value).detach())))
        self._alpha = {}

    def after_train(self, _runner: Any) -> None:
        """Write the file, and leave nothing on the model."""
        self._forget()
        self.flush()

    def flush(self) -> None:
        """Write the file."""
        if is_main_process() and self._rows:
            buffer = io.BytesIO()
            pd.DataFrame(self._rows, columns=list(COLUMNS)).to_parquet(buffer, index=False)
            atomic.write_bytes(self.path, buffer.getvalue())

    def _listen(self, name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, a: torch.Tensor) -> None:
            self._alpha[name] = a.detach().mean()

        return hook

    def _forget(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _uncertainties(model: nn.Module) -> Iterator[tuple[str, Uncertainty]]:
    """Each uncertainty with the name of its curve: its stage, and its part of the loss."""
    for place, module in model.named_modules():
        if isinstance(module, Uncertainty):
            words = place.split(".")
            stage = next((f"C{word}" for word in words if word.isdigit()), words[0])
            yield f"alpha {stage} {words[-1]}", module
