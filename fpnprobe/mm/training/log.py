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

from fpnprobe.mm.auxiliary.uncertain_head import HeadUncertainty
from fpnprobe.mm.training.saved.checkpoint import bare
from fpnprobe.store import atomic

FILE = "training.parquet"
COLUMNS = ("iteration", "name", "value")
_POINTS = 200  # of each curve


class TrainingLog(Hook):
    """Keeps the scalars of a few hundred passes: columns `iteration`, `name`, `value`.

    Names are the losses as mmdet calls them, `lr`, and `alpha C2 classification`: exp(-alpha) is
    the part of the classification loss of the auxiliary branch on C2 that its uncertainties leave
    (Eq. 10). Values are those of the first process's images. The file is written with every
    checkpoint and at the end.

    Args:
        folder: Of the cell.
        passes: Length of the training.
    """

    def __init__(self, folder: Path, *, passes: int) -> None:
        self.path = folder / FILE
        self.period = max(1, -(-passes // _POINTS))
        self._rows: list[tuple[int, str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": list(self._rows)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._rows = [(int(at), str(name), float(value)) for at, name, value in state["rows"]]

    def after_train_iter(self, runner: Any, batch_idx: int, outputs: Any = None, **_: Any) -> None:
        """Keep the pass's scalars."""
        if batch_idx % self.period or not is_main_process():
            return
        losses = {name: value for name, value in (outputs or {}).items() if "loss" in name}
        rate = runner.optim_wrapper.param_groups[0]["lr"]
        alphas = dict(_alphas(bare(runner.model)))
        for name, value in {**losses, "lr": rate, **alphas}.items():
            self._rows.append((batch_idx, name, float(torch.as_tensor(value).detach())))

    def after_train(self, _runner: Any) -> None:
        """Write the file."""
        self.flush()

    def flush(self) -> None:
        """Write the file."""
        if is_main_process() and self._rows:
            buffer = io.BytesIO()
            pd.DataFrame(self._rows, columns=list(COLUMNS)).to_parquet(buffer, index=False)
            atomic.write_bytes(self.path, buffer.getvalue())


def _alphas(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Each alpha of the last pass with the name of its curve: its stage, and its part."""
    for path, module in model.named_modules():
        if isinstance(module, HeadUncertainty):
            words = path.split(".")
            stage = next((f"C{word}" for word in words if word.isdigit()), words[0])
            for loss_part, alpha in module.shared.alpha.items():
                yield f"alpha {stage} {loss_part}", alpha
