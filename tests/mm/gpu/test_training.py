"""Trainings on a GPU: the probe changes nothing, half precision is judged, stops lose nothing."""

import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from fpnprobe.ledger import Ledger
from fpnprobe.mm.hook import GradientProbeHook
from fpnprobe.mm.training import optimizer  # noqa: F401 - BFloat16OptimWrapper
from fpnprobe.mm.training.saved import checkpoint
from fpnprobe.probing.soundness.arithmetic import TOLERANCES
from fpnprobe.study.runner import exit_codes, worker
from tests.mm import small
from tests.mm.gpu.device import DEVICE, NEEDS_DEVICE
from tests.mm.studies.test_resume import StopAfter
from tests.mm.tiny import tiny

pytestmark = NEEDS_DEVICE
TF32 = TOLERANCES["tf32"]
PLAIN = {"type": "OptimWrapper", "optimizer": small.SGD}
BF16 = {"type": "BFloat16OptimWrapper", "optimizer": small.SGD, "clip_grad": {"max_norm": 1.0}}
HALF = {"type": "AmpOptimWrapper", "optimizer": small.SGD, "loss_scale": 1024.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make_scenes(tmp_path_factory.mktemp("data"))


def train(root: Path, out: Path, model: str, wrapper: dict[str, Any], **options: Any) -> Any:
    hooks = [small.hook(out, interval=1, audit=1, **options)] if options else []
    return small.train(root, out, model=model, iterations=3, optim_wrapper=wrapper, hooks=hooks)


def summary(runner: Any) -> dict[str, Any]:
    return next(h.summary() for h in runner.hooks if isinstance(h, GradientProbeHook))


@pytest.mark.parametrize("mode", ["norms", "routes", "full"])
def test_a_probe_changes_no_bit_of_the_training(root: Path, tmp_path: Path, mode: str) -> None:
    """RetinaNet's operators are deterministic on CUDA when asked to be."""
    off = train(root, tmp_path / "off", "retinanet", PLAIN)
    on = train(root, tmp_path / "on", "retinanet", PLAIN, mode=mode)
    small.assert_bit_identical(small.weights(on), small.weights(off))
    small.assert_nothing_left(on)
    assert next(on.model.parameters()).device.type == DEVICE
    assert summary(on)["unsound"] == summary(on)["nonfinite"] == 0


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
@pytest.mark.skipif(DEVICE == "cpu", reason="mmengine asks for an accelerator")
def test_half_precision_conserves_within_its_rounding(
    root: Path, tmp_path: Path, name: str
) -> None:
    wrapper = BF16 if name == "bfloat16" else HALF
    on = train(root, tmp_path / "on", "retinanet", wrapper, mode="full")
    found = summary(on)
    assert found["facts"]["precision"] == name
    assert found["residuals"]["loss"] < 2e-2
    assert found["residuals"]["gradient"] < 5e-2
    assert found["nonfinite"] == found["unsound"] == 0
    # the same step in whole float32, where no missing term hides under the tolerance
    assert found["proof"]["holds"] and found["proof"]["residual"] < 1e-4


def run(out: Path, *, stop: Any = None, variant: str = "FPN", **changes: Any) -> Path:
    result = tiny(out, variants=[variant], **changes)
    code = worker.run(result, variant, 0, device=DEVICE, stop=stop or threading.Event())
    folder = result.cells[0].folder
    expected = exit_codes.STOPPED if stop is not None else exit_codes.DONE
    assert code == expected, (folder / "log.txt").read_text()
    return folder


@pytest.mark.parametrize("variant", ["DC5", "FPN", "FPN-AuxU", "FPN-CFG3", "FPN~balanced"])
def test_a_cell_trains_and_is_sound(tmp_path: Path, variant: str) -> None:
    folder = run(tmp_path, variant=variant, probe={"mode": "full", "interval": 2, "offline": 2})
    ledger = Ledger.read(folder).frame
    assert set(ledger.state) == {"measured"}
    assert (ledger.residual_gradient.dropna() < TF32).all()
    assert (ledger.residual_routes.dropna() < TF32).all()
    assert (folder / "detections.json.gz").exists()


@pytest.mark.parametrize("amp", [None, "bf16"])
def test_a_stopped_cell_goes_on_where_it_was(tmp_path: Path, amp: str | None) -> None:
    if amp and DEVICE == "cpu":
        pytest.skip("AMP is for CUDA")
    changes: dict[str, Any] = {"schedule__amp": amp, "schedule__deterministic": True}
    whole = run(tmp_path / "whole", **changes)
    stopped = tmp_path / "stopped"
    run(stopped, stop=StopAfter(4), **changes)
    resumed = run(stopped, **changes)
    ours, theirs = (pd.read_parquet(f / "training.parquet") for f in (resumed, whole))
    assert ours[["iteration", "name"]].equals(theirs[["iteration", "name"]])
    one, two = (Ledger.read(f).frame for f in (resumed, whole))
    assert one.iteration.unique().tolist() == two.iteration.unique().tolist()
    assert len(one) == len(two)
    content, other = (checkpoint.read(f / "checkpoints" / "final.pt") for f in (resumed, whole))
    for name, weight in other["state_dict"].items():
        if weight.dtype.is_floating_point:  # RoIAlign's backward pass adds in any order
            torch.testing.assert_close(content["state_dict"][name], weight, rtol=0.1, atol=1e-2)
