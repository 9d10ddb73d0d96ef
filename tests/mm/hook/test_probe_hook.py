"""The hook measures inside ordinary training and leaves no trace in it."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import Ledger
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.hook import GradientProbeHook
from tests.mm import small

# mmdet's FCOS calls meshgrid in the old way
pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")

CLIPPED = {"type": "OptimWrapper", "optimizer": small.SGD, "clip_grad": {"max_norm": 1.0}}
ACCUMULATED = {**CLIPPED, "accumulative_counts": 3}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make_scenes(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def plain(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Weights of trainings without a probe, by model and optimizer; each is made once."""
    made: dict[tuple[str, bool], Any] = {}

    def of(model: str, accumulate: bool) -> Any:
        if (model, accumulate) not in made:
            folder = tmp_path_factory.mktemp("plain")
            wrapper = ACCUMULATED if accumulate else CLIPPED
            runner = small.train(
                root, folder, model=model, iterations=20, optim_wrapper=wrapper, hooks=[Draws()]
            )
            made[model, accumulate] = small.weights(runner), drawn(runner)
        return made[model, accumulate]

    return of


class Draws(Hook):
    """Notes what each random generator would give next, at the end of training."""

    found: tuple[float, ...] = ()

    def after_train(self, runner: Any) -> None:
        self.found = (
            random.random(),
            float(np.random.random()),  # noqa: NPY002 - mmdet draws from it
            float(torch.rand(())),
        )


def drawn(runner: Any) -> tuple[float, ...]:
    return next(hook.found for hook in runner.hooks if isinstance(hook, Draws))


def probe_of(runner: Any) -> GradientProbeHook:
    return next(hook for hook in runner.hooks if isinstance(hook, GradientProbeHook))


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(
    ("model", "mode"), [("faster_rcnn", "full"), ("retinanet", "routes"), ("fcos", "full")]
)
def test_weights_and_random_states_are_those_without_a_probe(
    root: Path, tmp_path: Path, plain: Any, model: str, mode: str, accumulate: bool
) -> None:
    runner = small.train(
        root,
        tmp_path,
        model=model,
        iterations=20,
        optim_wrapper=ACCUMULATED if accumulate else CLIPPED,
        hooks=[small.hook(tmp_path, mode=mode, interval=3, audit=2), Draws()],
    )
    weights, draws = plain(model, accumulate)
    small.assert_bit_identical(small.weights(runner), weights)
    assert drawn(runner) == draws
    small.assert_nothing_left(runner)
    frame = Ledger.read(tmp_path).frame
    assert sorted(set(frame.iteration)) == list(range(0, 20, 3))
    assert frame.residual_loss.max() < 1e-5
    assert frame.residual_gradient.max() < 1e-5
    assert frame.residual_routes.max() < 1e-5
    assert set(frame[frame.residual_gradient.notna()].iteration) == {0, 6, 12, 18}


def test_norms_are_those_of_the_update_before_clipping(
    root: Path, tmp_path: Path, plain: Any
) -> None:
    """Twin: the norm of the sum of the accumulated gradients, read by another hook."""
    twin = ReadsGradients()
    hook = small.hook(tmp_path, mode="norms")
    runner = small.train(
        root,
        tmp_path,
        model="retinanet",
        iterations=20,
        optim_wrapper=ACCUMULATED,
        hooks=[hook, twin, Draws()],
        before=twin.watch,
    )
    weights, draws = plain("retinanet", True)
    small.assert_bit_identical(small.weights(runner), weights)
    assert drawn(runner) == draws
    small.assert_nothing_left(runner)
    frame = Ledger.read(tmp_path).frame
    assert set(frame.bucket) == {"all"}
    assert sorted(set(frame.iteration)) == [*range(2, 18, 3), 19]
    assert set(frame.tap) == {"C2", "C3", "C4", "C5"}
    for (iteration, tap), expected in twin.norms.items():
        row = frame[(frame.iteration == iteration) & (frame.tap == tap)]
        assert row.l2.item() == pytest.approx(expected, rel=1e-5)
    assert 0 < probe_of(runner).summary()["cost"] < 0.5


class ReadsGradients(Hook):
    """Norms of the stages' gradients at the moment that clipping begins."""

    def __init__(self) -> None:
        self.norms: dict[tuple[int, str], float] = {}

    def watch(self, runner: Any) -> None:
        self._runner = runner

    def before_train(self, runner: Any) -> None:
        wrapper = runner.optim_wrapper
        original = wrapper.clip_func

        def clip(parameters: Any, **options: Any) -> Any:
            for i, name in enumerate(runner.model.backbone.res_layers):
                own = getattr(runner.model.backbone, name).parameters()
                squares = sum(float(p.grad.double().square().sum()) for p in own)
                self.norms[runner.iter, f"C{i + 2}"] = squares**0.5
            return original(parameters, **options)

        wrapper.clip_func = clip


def test_numbers_are_those_of_the_loss_of_the_step(root: Path, tmp_path: Path) -> None:
    """Under accumulation the undivided norm is that of the scaled loss, by a pass of its own."""
    twin = OwnPass()
    runner = small.train(
        root,
        tmp_path,
        model="retinanet",
        iterations=4,
        optim_wrapper=ACCUMULATED,
        hooks=[small.hook(tmp_path, mode="full", interval=1, audit=1), twin],
    )
    frame = Ledger.read(tmp_path).frame
    whole = frame[(frame.bucket == "all") & (frame.kind == "parameter") & (frame.tap == "C4")]
    assert whole.sort_values("iteration").l2.tolist() == pytest.approx(twin.norms, rel=1e-4)
    assert probe_of(runner).summary()["facts"]["accumulation"] == 3


def test_mode_full_tells_each_buckets_part_of_an_adam_step(root: Path, tmp_path: Path) -> None:
    adam = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 1e-3}}
    hooks = [small.hook(tmp_path, mode="full", interval=1)]
    small.train(root, tmp_path, iterations=3, optim_wrapper=adam, hooks=hooks)
    frame = Ledger.read(tmp_path).frame
    steps = frame[frame.kind == "update"]
    # The optimizer knows no second moment before its first step.
    assert sorted(set(steps.iteration)) == [1, 2]
    assert set(steps.route) == {"total"} and set(steps.state) == {"measured"}
    key = ["iteration", "tap", "bucket"]
    lengths = steps.set_index(key).l2
    gradients = frame[frame.kind == "parameter"].set_index(key).l2
    assert set(lengths.index) == {place for place in gradients.index if place[0]}
    # Elements are as long as their usual size, lr times: far longer than the gradient itself.
    assert bool((lengths.dropna() >= 0).all()) and lengths.max() > gradients.max() * 1e-3
    objects = steps[~steps.bucket.isin(["background", "all"])]
    whole = objects.groupby(["iteration", "tap"]).share.sum()
    assert whole[whole > 0].tolist() == pytest.approx([1.0] * int((whole > 0).sum()))


class OwnPass(Hook):
    """Repeats each step's loss on a copy of the model and differentiates it there."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        import copy

        twin = copy.deepcopy(runner.model)
        data = twin.data_preprocessor(copy.deepcopy(data_batch), training=True)
        loss, _ = twin.parse_losses(twin(**data, mode="loss"))
        count = 3 if runner.iter < 3 else 1  # the last update has one iteration only
        own = list(twin.backbone.layer3.parameters())
        gradients = torch.autograd.grad(loss / count, own)
        self.norms.append(float(sum(g.double().square().sum() for g in gradients)) ** 0.5)


def test_going_on_leaves_no_gap_and_no_double_row(root: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    # mmengine does not restore random states: without a flip the data are the same
    pipeline = [one for one in small.PIPELINE if one["type"] != "RandomFlip"]
    options: dict[str, Any] = {"iterations": 8, "save_every": 4, "pipeline": pipeline}

    def hook(out: Path) -> dict[str, Any]:
        return small.hook(out, mode="routes", interval=2)

    small.train(root, whole, hooks=[hook(whole)], **options)
    with pytest.raises(KeyboardInterrupt):
        small.train(root, cut, hooks=[hook(cut), Stop(6)], **options)
    left = Ledger.read(cut).frame  # merged or not, it can be read
    assert sorted(set(left.iteration)) == [0, 2, 4, 6]
    runner = small.train(root, cut, resume=True, hooks=[hook(cut)], **options)
    a, b = Ledger.read(whole).frame, Ledger.read(cut).frame
    key = ["iteration", "tap", "kind", "route", "bucket", "term"]
    assert not b.duplicated(key).any()
    a, b = a.sort_values(key), b.sort_values(key)
    assert (a[key].to_numpy() == b[key].to_numpy()).all()
    np.testing.assert_array_equal(a.l2.to_numpy(), b.l2.to_numpy())
    assert probe_of(runner).summary()["samples"] == 4
    assert probe_of(runner).account.cost.samples == 4


class Stop(Hook):
    def __init__(self, at: int) -> None:
        self.at = at

    def after_train_iter(self, runner: Any, batch_idx: int, **_: Any) -> None:
        if runner.iter == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("workers", [0, 1])
def test_loop_with_workers_that_started_early(root: Path, tmp_path: Path, workers: int) -> None:
    """Upstream's loop starts workers before any hook; the data must not change by that."""
    seen: list[list[int]] = []
    for hooks in ([], [small.hook(tmp_path, interval=2)]):
        notes = Notes()
        small.train(
            root,
            tmp_path / str(len(seen)),
            iterations=3,
            workers=workers,
            hooks=[StartsWorkers(), *hooks, notes],
            before=None,
        )
        seen.append(notes.images)
    assert seen[0] == seen[1]
    assert Ledger.read(tmp_path).frame.n_objects.max() > 0


class StartsWorkers(Hook):
    priority = "VERY_HIGH"

    def before_run(self, runner: Any) -> None:
        iterator = runner._train_loop.dataloader_iterator
        random_state = torch.get_rng_state()
        iterator._ensure_iterator()
        torch.set_rng_state(random_state)


class Notes(Hook):
    def __init__(self) -> None:
        self.images: list[int] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        samples = data_batch["data_samples"]
        self.images += [s.img_id for s in samples]
        self.images += [int(s.gt_instances.bboxes.tensor.sum() * 8) for s in samples]


PLACES = ("neck", "backbone.layer2", "bbox_head.loss_cls")


@pytest.mark.parametrize("place", [*PLACES, "backward", "optimizer", "hook", "measure", "taps"])
def test_nothing_is_left_after_an_exception(
    root: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[Any] = []
    handles: list[Any] = []

    def inject(runner: Any) -> None:
        caught.append(runner)
        if place in PLACES:
            handles.append(break_late(runner.model.get_submodule(place)))
        elif place == "optimizer":
            runner.register_hook(BreaksOptimizer())
        elif place == "hook":
            runner.register_hook(Stop(1))
        elif place == "backward":
            monkeypatch.setattr(torch.Tensor, "backward", boom)
        elif place == "measure":
            monkeypatch.setattr("fpnprobe.probing.passes.measurement.Measurement.run", boom)
        else:
            monkeypatch.setattr("fpnprobe.probing.passes.measurement.Measurement.finish", boom)

    model = build_detector(small.model_config("retinanet"), seed=1)
    with pytest.raises((ValueError, KeyboardInterrupt)):
        small.train(
            root,
            tmp_path,
            model=model,
            iterations=9,
            hooks=[small.hook(tmp_path, mode="full", interval=1)],
            before=inject,
        )
    monkeypatch.undo()
    for handle in handles:
        handle.remove()
    small.assert_nothing_left(caught[0])
    Ledger.read(tmp_path)


def boom(*_args: Any, **_kwargs: Any) -> None:
    raise ValueError("injected")


def break_late(module: torch.nn.Module) -> Any:
    """Let the module raise in its second step; returns the handle."""
    calls = [0]

    def before(_module: Any, _args: Any) -> None:
        calls[0] += 1
        if calls[0] > 7:
            boom()

    return module.register_forward_pre_hook(before)


class BreaksOptimizer(Hook):
    def before_train(self, runner: Any) -> None:
        runner.optim_wrapper.optimizer.step = boom


def test_another_loss_than_the_models_own_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="only the model's own loss"):
        small.train(root, tmp_path, hooks=[small.hook(tmp_path, interval=1), ScalesLoss()])


class ScalesLoss(Hook):
    """What a trainer with a loss term of its own does."""

    def before_train(self, runner: Any) -> None:
        wrapper = runner.optim_wrapper
        update = wrapper.update_params
        wrapper.update_params = lambda loss, **kwargs: update(loss * 1.5, **kwargs)


def test_a_stage_without_training_is_frozen(root: Path, tmp_path: Path) -> None:
    config = small.model_config("retinanet", frozen_stages=1)
    for mode in ("full", "norms"):
        model = build_detector(config, seed=1)
        hook = small.hook(tmp_path / mode, mode=mode, interval=1)
        small.train(root, tmp_path, model=model, iterations=1, hooks=[hook])
        frame = Ledger.read(tmp_path / mode).frame
        frozen = frame[(frame.tap == "C2") & (frame.kind == "parameter")]
        assert set(frozen.state) == {"frozen"}
        assert frozen.l2.isna().all()
        assert frame[frame.tap == "C3"].l2.notna().all()


def test_what_would_arrive_at_a_frozen_stage_is_what_arrives_where_it_trains(
    root: Path, tmp_path: Path
) -> None:
    frames = {}
    for frozen_stages in (1, -1):
        config = small.model_config("retinanet", frozen_stages=frozen_stages, norm_eval=True)
        folder = tmp_path / str(frozen_stages)
        hook = small.hook(folder, mode="routes", interval=1)
        model = build_detector(config, seed=1)
        small.train(root, folder, model=model, iterations=1, hooks=[hook])
        frame = Ledger.read(folder).frame
        frames[frozen_stages] = frame[(frame.tap == "C2") & (frame.kind == "activation")]
    assert set(frames[1].state) == {"would_arrive"}
    assert set(frames[-1].state) == {"measured"}
    assert (frames[1].l2 > 0).any()
    np.testing.assert_allclose(frames[1].l2, frames[-1].l2, rtol=1e-6)


def test_measuring_at_a_frozen_stage_changes_no_weight(root: Path, tmp_path: Path) -> None:
    ends = []
    for hooks in ([], [small.hook(tmp_path / "out", mode="full", interval=1)]):
        model = build_detector(small.model_config("retinanet", frozen_stages=1), seed=1)
        runner = small.train(root, tmp_path, model=model, iterations=2, hooks=hooks)
        ends.append(small.weights(runner))
    small.assert_bit_identical(*ends)


def test_a_budget_sets_the_interval(root: Path, tmp_path: Path) -> None:
    runner = small.train(
        root,
        tmp_path,
        iterations=30,
        hooks=[small.hook(tmp_path, mode="routes", budget=0.25)],
    )
    summary = probe_of(runner).summary()
    assert summary["interval"] in (2, 5, 10, 20, 50)
    assert summary["samples"] == Ledger.read(tmp_path).frame.iteration.nunique() >= 2
    assert summary["cost"] > 0
    assert summary["extra_s"] > 0


def test_schedules(root: Path, tmp_path: Path) -> None:
    for n, interval in enumerate([[1, 3], {"log": 3, "last": 3}]):
        out = tmp_path / str(n)
        small.train(root, tmp_path, hooks=[small.hook(out, interval=interval)])
        assert sorted(set(Ledger.read(out).frame.iteration)) == [[1, 3], [0, 1, 3]][n]


def test_scalars_reach_the_visualizer(root: Path, tmp_path: Path) -> None:
    shown: dict[str, Any] = {}

    def listen(runner: Any) -> None:
        runner.visualizer.add_scalars = lambda values, step: shown.update(values, step=step)

    small.train(root, tmp_path, hooks=[small.hook(tmp_path, interval=1)], before=listen)
    assert shown["step"] == 4
    assert 1 / 3 <= shown["probe/C3/index"] <= 1
    assert 0 <= shown["probe/C5/large"] <= 1


def test_bad_options_are_refused() -> None:
    for options, message in [
        ({"mode": "all"}, "expected one of norms, routes, full"),
        ({"audit": 0}, "1 or more"),
        ({"budget": 2}, "fraction"),
        ({"interval": 0}, "expected 1 or more"),
        ({"buckets": [("small", 0, 10)]}, "expected inf"),
        ({"terms": "x"}, "expected one of"),
    ]:
        with pytest.raises(FpnProbeError, match=message):
            GradientProbeHook(**options)  # type: ignore[arg-type]
