"""The scalars of a training are those of its passes, and keeping them leaves nothing behind."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from fpnprobe.methods import UncertaintyOptions
from fpnprobe.mm.auxiliary.uncertain_head import HeadUncertainty
from fpnprobe.mm.training.log import TrainingLog
from tests.mm.studies.test_resume import run


class Runner:
    """What a hook needs of mmengine's."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.optim_wrapper = torch.optim.SGD(model.parameters(), lr=0.25)


def test_every_loss_is_kept(tmp_path: Path) -> None:
    table = pd.read_parquet(run(tmp_path / "out") / "training.parquet")
    wide = table.pivot(index="iteration", columns="name", values="value")
    assert list(wide.index) == list(range(8))
    parts = wide[["loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox"]].sum(axis=1)
    assert parts.to_numpy() == pytest.approx(wide["loss"].to_numpy(), rel=1e-5)
    assert list(wide["lr"].iloc[:2]) == pytest.approx([1e-4, 0.01])  # warm-up


def test_uncertainty_is_named_by_stage_and_part(tmp_path: Path) -> None:
    uncertainty = HeadUncertainty({"regression": 2}, UncertaintyOptions())
    heads = torch.nn.ModuleDict({"3": torch.nn.ModuleDict({"uncertainty": uncertainty})})
    runner, log = Runner(heads), TrainingLog(tmp_path, passes=400)
    assert log.period == 2
    for step in range(3):
        uncertainty.shared.alpha["regression"] = torch.tensor(0.5 * step)
        loss = torch.tensor(1.0)
        log.after_train_iter(runner, step, outputs={"loss": loss, "acc": loss})
    log.after_train(runner)
    table = pd.read_parquet(tmp_path / "training.parquet")
    assert list(table["name"]) == ["loss", "lr", "alpha C3 regression"] * 2
    assert list(table["iteration"]) == [0, 0, 0, 2, 2, 2]
    assert table["value"].iloc[-1] == 1.0
