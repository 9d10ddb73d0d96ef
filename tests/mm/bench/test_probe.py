"""`fpnprobe bench probe` measures what it says; how fast this machine is, is not tested."""

import json
import math

import pytest
import torch
from typer.testing import CliRunner

from fpnprobe.bench.probe import run
from fpnprobe.cli import main
from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.mm.bench import timing
from fpnprobe.mm.bench.bench_policy import BenchPolicy
from fpnprobe.mm.bench.rival_steps import RIVALS, rival_works
from fpnprobe.mm.bench.steps import Steps
from fpnprobe.mm.bench.timing import peak_memory
from fpnprobe.testing import assert_no_hooks_left

KEYS = {
    "mode", "interval", "step_s", "probed_step_s", "overhead", "limit", "ratio_to_limit",
    "peak_memory_ratio", "passes", "derived", "extra_ratio", "naive_s", "speedup",
    "followed_step_s", "followed_ratio",
}  # fmt: skip


def test_rows_have_the_documented_keys() -> None:
    main.register()
    words = ["bench", "probe", "--size", "96", "--batch", "1", "--repeats", "1", "--json"]
    found = CliRunner().invoke(main.app, words)
    assert found.exit_code == 0, found.output
    rows = json.loads(found.stdout[found.stdout.index("[{") :])
    assert [(row["mode"], row["passes"]) for row in rows] == [
        ("norms", 0), ("routes", 3), ("routes", 4), ("full", 3), ("full", 4),
        *((name, 0) for name in RIVALS),
    ]  # fmt: skip
    for row in rows:
        assert set(row) == KEYS
        assert all(math.isfinite(row[key]) for key in KEYS - {"mode", "derived"})
        assert row["limit"] >= row["step_s"] > 0
        assert row["peak_memory_ratio"] > (0.99 if "twin" in row["mode"] else 0.999)
    assert rows[0]["overhead"] < 0.05
    assert all((row["followed_ratio"] > 0) == (row["passes"] > 0) for row in rows)
    jacobian = next(row for row in rows if "Jacobian" in row["mode"])
    assert jacobian["peak_memory_ratio"] > 1.1  # a gradient of all parameters for each loss


def test_turns_time_usual_samples_not_the_first_of_a_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first one is always audited, and in reduced precision measured again in float32."""
    passes: list[int] = []
    monkeypatch.setattr(
        BenchPolicy, "take_sample", lambda _self, sample: passes.append(sample.passes)
    )
    run(size=64, batch=1, repeats=2, followed=False)
    first, *usual = (passes[i : i + 4] for i in range(0, 12, 4))
    assert first == [4, 4, 4, 4]
    assert usual == [[3, 4, 3, 4]] * 2


def test_provenance_need_not_be_timed() -> None:
    rows = run(size=64, batch=1, repeats=1, followed=False)
    assert not any(row["followed_ratio"] for row in rows)


def test_long_turns_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timing, "_PATIENCE", -1.0)
    assert list(timing.turns("bench x", 2)) == [0, 1]
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in told] == [
        "bench x: turn 1 of 2",
        "bench x: turn 2 of 2",
    ]


def test_twins_leave_the_gradients_of_a_plain_step() -> None:
    """They look at the step that is trained: what the optimizer is given is the same."""
    steps, given = Steps(None, size=96, batch=1, device="cpu"), []

    def keep() -> None:
        parameters = steps.detector.parameters()
        given.append([p.grad.clone() for p in parameters if p.grad is not None])

    step = steps.wrapper.step

    def keep_and_step(**_: object) -> None:
        keep()
        step()

    steps.wrapper.step = keep_and_step
    steps.step()
    for _, work in rival_works(steps):
        work()
    for gradients in given[1:]:
        for one, other in zip(gradients, given[0], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert len(given) == 1 + len(RIVALS)
    assert_no_hooks_left(steps.detector)


def test_peak_memory_sees_what_is_in_use_at_once() -> None:
    def work() -> None:
        for _ in range(3):  # one after the other
            torch.zeros(250_000).add_(1)

    held = torch.zeros(1000)
    assert peak_memory(work, "cpu", held=lambda: [held]) == pytest.approx(1_004_000, rel=0.01)


def test_bad_options_are_refused() -> None:
    with pytest.raises(FpnProbeError, match="at least 1"):
        run(repeats=0)
    if not torch.cuda.is_available():
        with pytest.raises(EnvironmentProblem, match="no CUDA device"):
            run(device="cuda")
