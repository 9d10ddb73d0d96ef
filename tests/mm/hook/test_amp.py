"""Half precision: what the ledger holds is without the loss scale, and says what it is worth."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from fpnprobe.ledger import Ledger
from fpnprobe.mm.hook import GradientProbeHook
from fpnprobe.mm.training import optimizer  # noqa: F401 - registers BFloat16OptimWrapper
from tests.mm import small
from tests.mm.test_invariants import warned

# mmdet's FCOS calls meshgrid in the old way
pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")

BF16 = {"type": "BFloat16OptimWrapper", "optimizer": small.SGD, "clip_grad": {"max_norm": 1.0}}
HALF = {"type": "ScaledOnCpu", "optimizer": small.SGD, "scale": 1024.0, "dtype": "float16"}
KEY = ["iteration", "tap", "kind", "route", "bucket", "term"]


@OPTIM_WRAPPERS.register_module()
class ScaledOnCpu(AmpOptimWrapper):
    """mmengine's wrapper with a loss scale, without its demand for an accelerator."""

    def __init__(self, scale: float, dtype: str | None = None, **options: Any) -> None:
        OptimWrapper.__init__(self, **options)
        self._scale_update_param = None
        self.loss_scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        self._dtype = getattr(torch, dtype) if dtype else None

    @contextmanager
    def optim_context(self, model: Any) -> Iterator[None]:
        autocast = torch.autocast("cpu", dtype=self._dtype, enabled=self._dtype is not None)
        with OptimWrapper.optim_context(self, model), autocast:
            yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make_scenes(tmp_path_factory.mktemp("data"))


def run(root: Path, out: Path, model: str, wrapper: dict[str, Any], **options: Any) -> Any:
    hooks = [small.hook(out, interval=1, audit=1, **options)] if options else []
    return small.train(root, out, model=model, iterations=3, optim_wrapper=wrapper, hooks=hooks)


def table(out: Path) -> pd.DataFrame:
    return Ledger.read(out).frame.sort_values(KEY, ignore_index=True)


def summary(runner: Any) -> dict[str, Any]:
    return next(h.summary() for h in runner.hooks if isinstance(h, GradientProbeHook))


@pytest.mark.parametrize("model", ["retinanet", "faster_rcnn"])
def test_bfloat16_conserves_within_its_rounding(root: Path, tmp_path: Path, model: str) -> None:
    """bfloat16 has 8 significant bits: sums over buckets differ by that, and training does not."""
    off = run(root, tmp_path / "off", model, BF16)
    on = run(root, tmp_path / "on", model, BF16, mode="full")
    small.assert_bit_identical(small.weights(on), small.weights(off))
    small.assert_nothing_left(on)
    found = summary(on)
    assert found["facts"]["precision"] == "bfloat16"
    assert found["residuals"]["loss"] < 2e-2
    assert found["residuals"]["gradient"] < 5e-2
    assert found["nonfinite"] == found["unsound"] == 0
    # The same step in whole float32, where no missing term hides under bfloat16's tolerance.
    assert found["proof"]["holds"] and found["proof"]["residual"] < 1e-5
    if model == "faster_rcnn":  # rounding chooses other proposals: nothing to compare
        return
    run(root, tmp_path / "full", model, {**BF16, "type": "OptimWrapper"}, mode="full")
    half, full = (table(tmp_path / name).query("iteration == 0") for name in ("on", "full"))
    whole = (half.bucket == "all") & (half.tap == "C5")
    np.testing.assert_allclose(half[whole].l2, full[whole].l2, rtol=0.15)


def test_a_loss_scale_is_divided_out(root: Path, tmp_path: Path) -> None:
    """A power of two changes no bit of a float32 gradient, so the ledgers are equal."""
    plain = {"type": "OptimWrapper", "optimizer": small.SGD}
    scaled = {"type": "ScaledOnCpu", "optimizer": small.SGD, "scale": 1024.0}
    for mode in ("full", "norms"):
        run(root, tmp_path / mode, "retinanet", plain, mode=mode)
        runner = run(root, tmp_path / f"{mode}-scaled", "retinanet", scaled, mode=mode)
        one, two = table(tmp_path / mode), table(tmp_path / f"{mode}-scaled")
        np.testing.assert_allclose(one.l2, two.l2, rtol=1e-6)
        assert summary(runner)["facts"]["loss_scale"] == "divided out"


def test_float16_conserves_within_its_rounding(root: Path, tmp_path: Path) -> None:
    off = run(root, tmp_path / "off", "retinanet", HALF)
    on = run(root, tmp_path / "on", "retinanet", HALF, mode="routes")
    small.assert_bit_identical(small.weights(on), small.weights(off))
    found = summary(on)
    assert found["facts"]["precision"] == "float16"
    assert found["residuals"]["gradient"] < 2e-2


def test_an_underflow_is_marked_and_changes_no_weight(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A loss scale of 2^-6: the gradients of few pixels fall below what float16 can tell."""
    wrapper = {**HALF, "scale": 2.0**-6}
    off = run(root, tmp_path / "off", "retinanet", wrapper)
    with warned(caplog):
        on = run(root, tmp_path / "on", "retinanet", wrapper, mode="routes")
    small.assert_bit_identical(small.weights(on), small.weights(off))
    frame = table(tmp_path / "on")
    lost = frame[frame.state == "underflow"]
    assert len(lost) and "background" not in set(lost.bucket)
    assert set(frame.state) == {"measured", "underflow"}
    assert summary(on)["underflow"] >= 1
    assert sum("float16 cannot hold the gradient of" in each for each in caplog.messages) == 1
    run(root, tmp_path / "scaled", "retinanet", HALF, mode="routes")
    assert (table(tmp_path / "scaled").state == "underflow").sum() < len(lost)


def test_an_overflow_is_marked_and_not_measured(root: Path, tmp_path: Path) -> None:
    wrapper = {**HALF, "scale": 2.0**40}
    runner = run(root, tmp_path, "retinanet", wrapper, mode="full")
    frame = table(tmp_path)
    assert set(frame[frame.iteration == 0].state) == {"nonfinite"}
    assert summary(runner)["nonfinite"] >= 1
    assert summary(runner)["samples"] == 3
    norms = tmp_path / "norms"
    run(root, norms, "retinanet", wrapper, mode="norms")
    assert set(table(norms).query("iteration == 0").state) == {"nonfinite"}
