import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import Ledger
from fpnprobe.store.run_file import read_run_file
from fpnprobe.testing import ToyPyramid, assert_no_hooks_left

TAPS = ("layer1", "layer2", "layer3")


def train(
    model: ToyPyramid, probe: Any = None, *, iterations: int = 4, parts: str = "rows"
) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(6) % 4
    for _ in range(iterations):
        x = torch.randn(6, 3, 16, 16, dtype=torch.float64, generator=generator)
        rows = sum(model.rows(model.pyramid(model.stages(x))), torch.zeros(6))
        loss = rows.sum() / 6
        if probe is not None:
            if parts == "rows":
                probe.measure(loss, rows=rows, labels=labels)
            else:
                losses = {n: rows[labels == i].sum() / 6 for i, n in enumerate(probe_labels())}
                probe.measure(sum(losses.values()), losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def probe_labels() -> tuple[str, ...]:
    return "small", "medium", "large", "background"


@pytest.mark.parametrize("mode", ["routes", "full"])
def test_watching_does_not_change_training_by_a_bit(mode: Any) -> None:
    states = []
    for watched in (False, True):
        torch.manual_seed(0)
        model = ToyPyramid()
        if watched:
            with fpnprobe.watch(model, interval=2, mode=mode) as probe:
                train(model, probe)
            assert len(probe.samples) == 2
        else:
            train(model)
        states.append(model.state_dict())
    assert all(torch.equal(a, states[1][k]) for k, a in states[0].items())


def test_a_loss_for_each_bucket_is_as_good_as_rows() -> None:
    found = []
    for parts in ("rows", "losses"):
        torch.manual_seed(0)
        model = ToyPyramid()
        with fpnprobe.watch(model) as probe:
            train(model, probe, parts=parts)
        found.append(probe.ledger.frame)
    assert found[0].l2.tolist() == pytest.approx(found[1].l2.tolist(), rel=1e-10)
    assert found[1].residual_gradient.max() < 1e-10
    assert found[1].residual_loss.max() < 1e-10


def test_the_ledger_is_written_as_training_goes(tmp_path: Path) -> None:
    model = ToyPyramid()
    with fpnprobe.watch(
        model, interval=[1, 3], out_dir=tmp_path, study="s", variant="FPN", seed=4
    ) as probe:
        train(model, probe, iterations=3)
        assert Ledger.read(tmp_path).frame.iteration.unique().tolist() == [1]
        train(model, probe, iterations=3)
    frame = Ledger.read(tmp_path).frame
    assert frame.iteration.unique().tolist() == [1, 3]
    assert frame[["study", "variant", "seed"]].drop_duplicates().values.tolist() == [
        ["s", "FPN", 4]
    ]
    assert frame.l2.tolist() == probe.ledger.frame.l2.tolist()


def test_auxiliary_modules_have_a_route() -> None:
    model = ToyPyramid(auxiliary=True)
    assert model.auxiliary is not None
    with fpnprobe.watch(model, auxiliary=[model.auxiliary]) as probe:
        loss, partition, _ = model.measured(torch.randn(6, 3, 16, 16, dtype=torch.float64))
        sample = probe.measure(loss, partition)
    assert sample is not None
    helped = {r.tap: r.l2 for r in sample.records if (r.route, r.bucket) == ("auxiliary", "all")}
    assert helped["C2"] > 0 and helped["C3"] == 0
    assert sample.residuals.routes < 1e-10


def test_a_budget_chooses_the_interval() -> None:
    model = ToyPyramid()
    with fpnprobe.watch(model, budget=0.5) as probe:
        train(model, probe, iterations=40)
    assert 1 <= len(probe.samples) < 40


@pytest.mark.parametrize("raising", [False, True])
def test_nothing_is_left_behind(raising: bool) -> None:
    model = ToyPyramid(auxiliary=True)
    assert model.auxiliary is not None
    try:
        with fpnprobe.watch(model, auxiliary=[model.auxiliary], mode="full") as probe:
            train(model, probe)
            if raising:
                raise RuntimeError("stop")
    except RuntimeError:
        assert raising
    assert_no_hooks_left(model)


def test_an_error_in_measuring_does_not_stop_the_count() -> None:
    model = ToyPyramid()
    with fpnprobe.watch(model) as probe:
        with pytest.raises(FpnProbeError, match="no stage ran"):
            probe.measure(torch.ones(()), rows=torch.ones(1), labels=torch.zeros(1).long())
        with pytest.raises(FpnProbeError, match="needs the parts"):
            probe.measure(torch.ones(()))
        train(model, probe, iterations=1)
    assert [s.iteration for s in probe.samples] == [2]


def test_evaluation_between_two_steps_is_not_seen() -> None:
    model = ToyPyramid()
    with fpnprobe.watch(model) as probe:
        x = torch.randn(6, 3, 16, 16, dtype=torch.float64)
        loss, partition, _ = model.measured(x)
        with torch.no_grad():
            model.stages(x * 0)
        sample = probe.measure(loss, partition)
    assert sample is not None and sample.residuals.worst < 1e-10
    assert not math.isnan(sample.residuals.gradient)


class _Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = ToyPyramid()

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.body.stages(x)


def test_stages_are_found_by_name_or_named() -> None:
    model = _Nested()
    with fpnprobe.watch(model) as probe:
        assert repr(probe) == "Watch(C2, C3, C4; 0 samples)"
    with fpnprobe.watch(model, taps={"C3": model.body.layer2}) as probe:
        assert repr(probe) == "Watch(C3; 0 samples)"
    with pytest.raises(FpnProbeError, match="no layer1"), fpnprobe.watch(nn.Linear(2, 2)):
        pass
    twice = nn.ModuleList([ToyPyramid(), ToyPyramid()])
    with pytest.raises(FpnProbeError, match="second stage C2"), fpnprobe.watch(twice):
        pass
    taps = {"stage2": model.body.layer1}
    with pytest.raises(FpnProbeError, match="tap 'stage2'"), fpnprobe.watch(model, taps=taps):
        pass


def test_a_ledger_is_never_overwritten(tmp_path: Path) -> None:
    model = ToyPyramid()
    with fpnprobe.watch(model, out_dir=tmp_path) as probe:
        train(model, probe, iterations=5)
        assert len(probe.samples) == 1  # the others are on disk
    with (
        pytest.raises(FpnProbeError, match="give start=5 to go on"),
        fpnprobe.watch(model, out_dir=tmp_path),
    ):
        pass
    with fpnprobe.watch(model, out_dir=tmp_path, start=3) as probe:
        train(model, probe, iterations=4)
    assert sorted(set(Ledger.read(tmp_path).frame.iteration)) == list(range(7))
    told = read_run_file(tmp_path)
    assert (told["state"], told["iteration"], told["variant"]) == ("done", 7, tmp_path.name)
    assert told["probe"]["arithmetic"] == "float64"


@pytest.mark.parametrize(
    "options",
    [
        {"interval": 0},
        {"budget": 2.0},
        {"mode": "norms"},
        {"terms": "all"},
        {"buckets": []},
        {"start": -1},
    ],
)
def test_a_refused_option_leaves_the_folder_as_it_was(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    model, held = ToyPyramid(), tmp_path / "held"
    with fpnprobe.watch(model, out_dir=held) as probe:
        train(model, probe, iterations=3)
    files = {file: file.read_bytes() for file in held.rglob("*") if file.is_file()}
    for out, start in ((held, 2), (tmp_path / "new", None)):
        with (
            pytest.raises(FpnProbeError),
            fpnprobe.watch(model, out_dir=out, **{"start": start, **options}),
        ):
            pass
    assert {file: file.read_bytes() for file in held.rglob("*") if file.is_file()} == files
    assert not (tmp_path / "new").exists()


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    model = ToyPyramid()
    with pytest.raises(KeyboardInterrupt), fpnprobe.watch(model, out_dir=tmp_path) as probe:
        train(model, probe, iterations=2)
        raise KeyboardInterrupt
    assert read_run_file(tmp_path)["state"] == "interrupted"


def one_step(probe: Any, model: Any, *, extra: Any = None, rows: Any = None, **options: Any) -> Any:
    c = model.stages(torch.ones(6, 3, 16, 16, dtype=next(model.parameters()).dtype))
    own = sum(model.rows(model.pyramid(c)), torch.zeros(6))
    loss = own.sum() / 6 + (0 if extra is None else extra(c))
    given = own if rows is None else rows(own)
    return probe.measure(loss, rows=given, labels=torch.arange(6) % 4, **options)


def test_a_term_that_no_row_holds_is_unsound(caplog: pytest.LogCaptureFixture) -> None:
    for extra, sentence in (
        (lambda c: c[1].square().mean(), "a term of the loss is outside the known rows"),
        (lambda c: c[1].mean() - c[1].detach().mean(), "whose value is zero or small"),
    ):
        caplog.clear()
        with fpnprobe.watch(ToyPyramid()) as probe:
            samples = [one_step(probe, probe._model, extra=extra) for _ in range(2)]
        assert {r.state for s in samples for r in s.records} == {"unsound"}
        assert [sentence in each for each in caplog.messages] == [True]
        with (
            pytest.raises(FpnProbeError, match="iteration 0"),
            fpnprobe.watch(ToyPyramid(), strict=True) as probe,
        ):
            one_step(probe, probe._model, extra=extra)


@pytest.mark.parametrize("rows", [lambda r: r.detach(), lambda r: r * 1.0])
def test_rows_that_are_no_part_of_the_loss_are_an_error(rows: Any) -> None:
    with (
        pytest.raises(FpnProbeError, match="no part of the loss"),
        fpnprobe.watch(ToyPyramid()) as probe,
    ):
        one_step(probe, probe._model, rows=rows)


def test_a_stage_that_ran_twice_is_an_error() -> None:
    model = ToyPyramid()
    x = torch.ones(6, 3, 16, 16, dtype=torch.float64)
    with fpnprobe.watch(model) as probe:
        with torch.no_grad():
            model.stages(x)
        assert one_step(probe, model).sound
        model.stages(x)
        with pytest.raises(FpnProbeError, match="C2 ran twice before measure"):
            model.stages(x)


@pytest.mark.parametrize("factor", [0.0, 1e-3])
def test_the_first_sample_of_bfloat16_is_proven_in_float32(factor: float) -> None:
    """A term that no row holds hides under the tolerance of bfloat16, and not in float32."""
    model = ToyPyramid().float()

    def step() -> tuple[Tensor, Tensor, Tensor]:
        c = model.stages(torch.ones(6, 3, 16, 16))
        rows = torch.stack(model.rows(model.pyramid(c))).sum(0)
        return rows.sum() / 6 + factor * c[1].square().mean(), rows, torch.arange(6) % 4

    with fpnprobe.watch(model) as probe:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, rows, labels = step()
        sample = probe.measure(loss, rows=rows, labels=labels, again=step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, rows, labels = step()
        later = probe.measure(loss, rows=rows, labels=labels)
    assert sample is not None and later is not None
    assert later.sound == sample.sound  # what is missing once is missing always
    assert sample.verdict.arithmetic == "bfloat16"
    assert probe.soundness.proof is not None
    assert probe.soundness.proof["holds"] == (factor == 0) == sample.sound


def test_a_proof_passes_a_reentrant_checkpoint() -> None:
    model = ToyPyramid().float()

    def step() -> tuple[Tensor, Tensor, Tensor]:
        x = torch.ones(6, 3, 16, 16, requires_grad=True)
        c2 = torch.utils.checkpoint.checkpoint(model.layer1, x, use_reentrant=True)
        c3 = model.layer2(c2.relu())
        c = [c2, c3, model.layer3(c3.relu())]
        rows = torch.stack(model.rows(model.pyramid(c))).sum(0)
        return rows.sum() / 6, rows, torch.arange(6) % 4

    with fpnprobe.watch(model) as probe:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, rows, labels = step()
        sample = probe.measure(loss, rows=rows, labels=labels, again=step)
    assert sample is not None and sample.sound
    assert probe.soundness.proof is not None and probe.soundness.proof["holds"]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the compiler
def test_a_compiled_stage_is_measured_eagerly() -> None:
    model = ToyPyramid()
    model.layer2.compile(backend="eager")
    with fpnprobe.watch(model, interval=2) as probe:
        train(model, probe)
    assert [s.sound for s in probe.samples] == [True, True]
