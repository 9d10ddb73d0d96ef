"""Interventions on real detectors: exact against per-bucket losses, and safe inside training."""

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from torch import Tensor

from fpnprobe.bench.intervention import run
from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions import READY_MADE, Intervention
from fpnprobe.interventions.backward import IntervenedBackward
from fpnprobe.ledger import Ledger
from fpnprobe.mm.adapters import observe
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.inspect.generated_batch import generated_batch
from fpnprobe.testing import assert_no_hooks_left, relative_distance
from tests.mm import small
from tests.mm.adapters.frameworks import BUCKETS, CLASSES, SIZE, loss_of, tiny
from tests.mm.adapters.twin import only

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")
LABELS = ("small", "medium", "large", "background")
MIXED = [
    {"stages": "C3..C4", "route": "direct", "bucket": "small", "gain": 0.0},
    {"stages": "C3..C4", "route": "deeper", "bucket": "large", "gain": 2.0},
    {"stages": "C4", "route": "direct", "gain": 0.5},
]


class Scale(torch.autograd.Function):
    """Identity forward, a factor backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float) -> Tensor:
        ctx.gain = gain
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * ctx.gain, None


@contextmanager
def scaled_ways(detector: Any, intervention: Intervention, bucket: str) -> Iterator[None]:
    """The neck and the next stages read each C_i through a scaled identity."""

    def factor(stage: str, route: str) -> float:
        product = 1.0
        for gain in intervention.gains:
            if stage in gain.stages and gain.route == route and gain.bucket in ("all", bucket):
                product *= gain.gain
        return product

    backbone = detector.backbone
    names = [f"C{i + 2}" for i in backbone.out_indices]

    def lateral(_m: Any, args: Any) -> Any:
        maps = zip(names, args[0], strict=True)
        return (tuple(Scale.apply(c, factor(n, "direct")) for n, c in maps), *args[1:])

    with ExitStack() as undo:
        undo.callback(detector.neck.register_forward_pre_hook(lateral).remove)
        for index, name in enumerate(backbone.res_layers[1:]):
            gain = factor(f"C{index + 2}", "deeper")

            def deeper(_m: Any, args: Any, gain: float = gain) -> Any:
                return (Scale.apply(args[0], gain),)

            stage = getattr(backbone, name)
            undo.callback(stage.register_forward_pre_hook(deeper).remove)
        yield


@pytest.mark.parametrize("name", ["faster_rcnn", "retinanet"])
def test_parameter_gradients_equal_per_bucket_losses_on_scaled_ways(name: str) -> None:
    detector = tiny(name)
    made = generated_batch(size=SIZE, objects=7, classes=CLASSES, bounds=(18**2, 64**2))
    data = detector.data_preprocessor(made, training=True)
    inputs = [p for p in detector.backbone.parameters() if p.requires_grad]
    intervention = Intervention.of(MIXED)

    expected = [torch.zeros_like(p) for p in inputs]
    for label, bucket in enumerate(LABELS):
        with (
            only(detector, label, data["data_samples"]),
            scaled_ways(detector, intervention, bucket),
        ):
            own = loss_of(detector, data)
            found = torch.autograd.grad(own, inputs, allow_unused=True)
        expected = [e if g is None else e + g for e, g in zip(expected, found, strict=True)]

    def trained(change: bool) -> list[Tensor]:
        detector.zero_grad()
        with observe(detector, BUCKETS) as seen:
            loss = loss_of(detector, data)
        with ExitStack() as stack:
            if change:
                backward = IntervenedBackward(intervention)
                stack.enter_context(
                    backward.around(
                        loss, seen.partition, seen.taps(), iteration=0, auxiliary=seen.auxiliary
                    )
                )
            loss.backward()
        return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in inputs]

    assert relative_distance(trained(False), expected) > 1e-2  # the test can fail
    assert relative_distance(trained(True), expected) < 1e-5
    assert_no_hooks_left(detector)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make_scenes(tmp_path_factory.mktemp("data"))


ACCUMULATED = {
    "type": "OptimWrapper",
    "optimizer": small.SGD,
    "clip_grad": {"max_norm": 1.0},
    "accumulative_counts": 2,
}


@pytest.fixture(scope="module")
def plain(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    runner = small.train(root, tmp_path_factory.mktemp("plain"), optim_wrapper=ACCUMULATED)
    return small.weights(runner)


@pytest.mark.parametrize("bucket", ["all", "small"])
def test_gains_of_one_train_bit_identically(
    root: Path, tmp_path: Path, plain: dict[str, Tensor], bucket: str
) -> None:
    ones = [{"stages": "C2..C4", "route": "direct", "bucket": bucket, "gain": 1.0}]
    hook = small.hook(tmp_path, interval=2, intervention=ones)
    runner = small.train(root, tmp_path, hooks=[hook], optim_wrapper=ACCUMULATED)
    small.assert_bit_identical(small.weights(runner), plain)
    small.assert_nothing_left(runner)


@pytest.mark.parametrize("name", ["cut-direct", "no-small-direct", "balanced"])
def test_a_ready_made_one_changes_the_training_and_leaves_nothing(
    root: Path, tmp_path: Path, plain: dict[str, Tensor], name: str
) -> None:
    data: Any = {"balance": {"begin": 1}} if name == "balanced" else name
    hook = small.hook(tmp_path, interval=2, intervention=data)
    runner = small.train(root, tmp_path, hooks=[hook], optim_wrapper=ACCUMULATED)
    small.assert_nothing_left(runner)
    found = small.weights(runner)
    assert any(not torch.equal(found[key], plain[key]) for key in plain)
    frame = Ledger.read(tmp_path).frame
    assert sorted(frame.iteration.unique()) == [0, 2]
    assert frame.residual_gradient.max() < 1e-5
    assert frame.residual_routes.max() < 1e-5


class Raising(Hook):
    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        if runner.iter == 1:
            raise RuntimeError("stop")


def test_nothing_remains_after_an_exception(root: Path, tmp_path: Path) -> None:
    kept: list[Any] = []
    with pytest.raises(RuntimeError, match="stop"):
        small.train(
            root,
            tmp_path,
            hooks=[small.hook(tmp_path, intervention="cut-direct"), Raising()],
            before=kept.append,
        )
    small.assert_nothing_left(kept[0])


def test_norms_cannot_intervene(tmp_path: Path) -> None:
    from fpnprobe.mm.hook import GradientProbeHook

    with pytest.raises(FpnProbeError, match="mode norms"):
        GradientProbeHook(mode="norms", intervention="cut-direct")


def test_steps_that_are_not_sampled_make_no_values_and_the_same_gradients() -> None:
    """Splitting the loss itself by bucket is left out; what the masked passes use is not."""
    detector = tiny("faster_rcnn")
    made = generated_batch(size=SIZE, objects=7, classes=CLASSES, bounds=(18**2, 64**2))
    data = detector.data_preprocessor(made, training=True)

    def seen_with(values: bool) -> tuple[list[bool], list[Tensor], Tensor]:
        with observe(detector, BUCKETS, values=values) as seen:
            loss = loss_of(detector, data)
        cotangents, parts = seen.partition.cotangents(loss)
        have = [call.values is not None for call in seen.partition.calls]
        return have, [found.cotangent for found in cotangents], parts

    with_values, expected, parts = seen_with(values=True)
    without, found, nothing = seen_with(values=False)
    assert all(with_values)
    assert not any(without)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert float(parts.sum()) > 0
    assert bool(nothing.isnan().all())  # not known, which is not zero


def test_the_bench_has_a_row_for_each_ready_made_one() -> None:
    rows = {row["intervention"]: row for row in run(size=64, batch=1, repeats=1)}
    assert list(rows) == list(READY_MADE)
    assert [row["passes"] for row in rows.values()] == [0, 0, 1, 1, 3]
    assert all(row["intervened_step_s"] > 0 and row["ratio_to_limit"] > 0 for row in rows.values())
    with pytest.raises(FpnProbeError, match="at least 1"):
        run(repeats=0)


@pytest.mark.parametrize("rule", ["LogArea", "UW", "PCGrad"])
@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
def test_a_loss_rule_changes_the_gradient_of_a_detector_and_not_its_loss(
    rule: Any, framework: str
) -> None:
    detector = build_detector(small.model_config(framework, norm_eval=True), seed=1)
    batch = generated_batch(size=96, classes=5, bounds=[16.0**2, 32.0**2], seed=0)
    data = detector.data_preprocessor(batch, training=True)
    parameters = [each for each in detector.parameters() if each.requires_grad]
    found = []
    for intervention in (Intervention(), Intervention(rule=rule)):
        torch.manual_seed(0)
        detector.zero_grad()
        with observe(detector, BUCKETS) as seen:
            loss, _ = detector.parse_losses(detector(**copy.deepcopy(data), mode="loss"))
        backward = IntervenedBackward(intervention)
        if rule == "UW":
            backward.load_state_dict({"small": [1.0]} if intervention.rule else {})
        around = backward.around(
            loss, seen.partition, seen.taps(), iteration=0, parameters=parameters
        )
        with around:
            loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        found.append((float(loss.detach()), gradient))
    assert found[0][0] == found[1][0]
    if rule != "PCGrad":  # at the start the sizes may not conflict
        assert not torch.allclose(found[0][1], found[1][1], rtol=1e-3)
    assert found[1][1].isfinite().all()
