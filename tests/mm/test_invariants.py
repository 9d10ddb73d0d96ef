"""What breaks an invariant is measured and said, or refused: never silently wrong."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.models.detectors import RetinaNet
from mmdet.registry import MODELS
from torch import nn
from torch.utils import checkpoint as checkpoints

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import Ledger
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.hook import GradientProbeHook
from tests.mm import small


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make_scenes(tmp_path_factory.mktemp("data"))


@MODELS.register_module()
class WithTerm(RetinaNet):
    """A RetinaNet whose loss has one more term, made outside its head from C3."""

    def loss(self, inputs: Any, samples: Any) -> Any:
        seen: list[torch.Tensor] = []
        handle = self.backbone.layer2.register_forward_hook(lambda _m, _i, o: seen.append(o))
        losses = super().loss(inputs, samples)
        handle.remove()
        return {**losses, "loss_reg": self.make(seen[0])}


def with_term(make: Callable[[Any], torch.Tensor]) -> Any:
    """A narrow `WithTerm`."""
    model = small.model_config("retinanet")
    model.type = "WithTerm"
    detector = build_detector(model, seed=1)
    detector.make = make
    return detector


def run(root: Path, out: Path, model: Any, *, probed: bool = True, **options: Any) -> Any:
    hooks = [small.hook(out, **{"mode": "full", "interval": 1, **options})] if probed else []
    return small.train(root, out, model=model, iterations=2, hooks=hooks)


def summary(runner: Any) -> dict[str, Any]:
    return next(h.summary() for h in runner.hooks if isinstance(h, GradientProbeHook))


TERMS: dict[str, tuple[Callable[[Any], torch.Tensor], str]] = {
    "a penalty": (lambda c3: 0.1 * c3.square().mean(), "a term of the loss is outside"),
    "zero with gradient": (
        lambda c3: c3.mean() - c3.detach().mean(),
        "whose value is zero or small but whose gradient is not",
    ),
}


@pytest.mark.parametrize("name", TERMS)
def test_a_term_outside_the_heads_makes_rows_unsound(
    root: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, sentence = TERMS[name]
    with warned(caplog):
        runner = run(root, tmp_path / "on", with_term(make))
    assert sum(sentence in each for each in caplog.messages) == 1
    assert "in float64 too" in caplog.text
    frame = Ledger.read(tmp_path / "on").frame
    assert set(frame.state) == {"unsound"}
    found = summary(runner)
    assert found["unsound"] == found["samples"] == 2
    off = run(root, tmp_path / "off", with_term(make), probed=False)
    small.assert_bit_identical(small.weights(runner), small.weights(off))


def test_strict_stops_the_training(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="iteration 0: the gradient of the buckets lacks"):
        run(root, tmp_path, with_term(TERMS["a penalty"][0]), strict=True)


def test_a_value_without_gradient_is_said_and_leaves_the_rows_alone(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with warned(caplog):
        runner = run(root, tmp_path, with_term(lambda c3: c3.detach().square().mean()), audit=2)
    assert "the values of the buckets lack" in caplog.text
    assert set(Ledger.read(tmp_path).frame.state) == {"measured"}
    assert summary(runner)["unsound"] == 0


@MODELS.register_module()
class LoggingRetinaNet(RetinaNet):
    """A RetinaNet that computes its losses of the flipped images too, to log them."""

    def loss(self, inputs: Any, samples: Any) -> Any:
        with torch.no_grad():
            super().loss(inputs.flip(-1), samples)
        return super().loss(inputs, samples)


@pytest.mark.parametrize("name", ["faster_rcnn", "retinanet"])
def test_loss_calls_without_gradient_are_no_rows(root: Path, tmp_path: Path, name: str) -> None:
    """OHEM's sampler asks the head for the loss of every proposal; a head may log a loss."""
    runs = []
    for probed in (False, True):
        model = small.model_config(name)
        if name == "faster_rcnn":
            model.train_cfg.rcnn.sampler.type = "OHEMSampler"
        else:
            model.type = "LoggingRetinaNet"
        detector = build_detector(model, seed=1)
        runs.append(run(root, tmp_path / str(probed), detector, probed=probed))
    small.assert_bit_identical(*(small.weights(each) for each in runs))
    frame = Ledger.read(tmp_path / "True").frame
    assert set(frame.state) == {"measured"}
    assert max(frame.residual_gradient.max(), frame.residual_loss.max()) < 1e-5


def test_rows_that_are_not_in_the_loss_lack_in_the_values_alone(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A detector that hands the optimizer a detached copy of a term loses its gradient."""
    runs = []
    for probed in (False, True):
        detector = build_detector(small.model_config("retinanet"), seed=1)
        original = detector.bbox_head.loss_by_feat

        def detached(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            losses = original(*args, **kwargs)
            return {**losses, "loss_bbox": [each.detach() for each in losses["loss_bbox"]]}

        detector.bbox_head.loss_by_feat = detached
        with warned(caplog):
            runs.append(run(root, tmp_path / str(probed), detector, probed=probed))
    assert "their gradients nothing" in caplog.text
    small.assert_bit_identical(*(small.weights(each) for each in runs))
    frame = Ledger.read(tmp_path / "True").frame
    assert frame.residual_loss.min() > 1e-3
    assert frame.residual_gradient.max() < 1e-5  # what is not in the loss moves no weight
    assert summary(runs[1])["unsound"] == 0


@MODELS.register_module()
class TwiceResNet(MODELS.get("NarrowResNet")):  # type: ignore[misc]
    """A backbone that is asked again; the second time may be without a gradient."""

    def __init__(self, *, again: str, **options: Any) -> None:
        super().__init__(**options)
        self.again = again

    def forward(self, images: torch.Tensor) -> Any:
        first = super().forward(images)
        with torch.set_grad_enabled(self.again == "grad"):
            second = super().forward(images.flip(-1))
        return tuple(a + 0.1 * b for a, b in zip(first, second, strict=True))


@contextmanager
def warned(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Messages of mmengine's logger, which does not pass them on."""
    from mmengine.logging import MMLogger

    original = MMLogger.callHandlers

    def call(_logger: Any, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            caplog.handler.handle(record)

    MMLogger.callHandlers = call
    try:
        yield
    finally:
        MMLogger.callHandlers = original


def test_a_second_forward_is_refused_unless_it_has_no_gradient(root: Path, tmp_path: Path) -> None:
    for again in ("grad", "none"):
        model = small.model_config("retinanet")
        model.backbone.type = "TwiceResNet"
        model.backbone.again = again
        detector = build_detector(model, seed=1)
        if again == "grad":
            with pytest.raises(FpnProbeError, match="stage C2 ran twice in one forward pass"):
                run(root, tmp_path / again, detector)
        else:
            run(root, tmp_path / again, detector)
            assert set(Ledger.read(tmp_path / again).frame.state) == {"measured"}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the compiler, in training without a probe
@pytest.mark.parametrize("part", ["backbone", "layer"])
def test_compiled_parts_are_measured_eagerly(root: Path, tmp_path: Path, part: str) -> None:
    weights = []
    for probed in (False, True):
        torch.compiler.reset()
        detector = build_detector(small.model_config("retinanet"), seed=1)
        chosen = {"backbone": detector.backbone, "layer": detector.backbone.layer3}
        chosen[part].compile(backend="eager")
        runner = run(root, tmp_path / str(probed), detector, probed=probed, interval=2)
        weights.append({k.replace("_orig_mod.", ""): v for k, v in small.weights(runner).items()})
    small.assert_bit_identical(*weights)
    frame = Ledger.read(tmp_path / "True").frame
    assert set(frame.state) == {"measured"}
    assert frame.residual_gradient.max() < 1e-5


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_with_batch_norm_are_measured_and_counted_once(
    root: Path, tmp_path: Path, reentrant: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Twin: the same training without the probe, its running statistics included.

    A reentrant checkpoint adds up in another order than the non-reentrant one of a probed step.
    """
    weights = []
    for probed in (False, True):
        detector = build_detector(small.model_config("retinanet", norm_eval=False), seed=1)
        for name in ("layer2", "layer3"):
            layer: nn.Module = getattr(detector.backbone, name)
            layer.forward = partial(_checkpointed, layer.forward, reentrant)
        with warned(caplog):
            runner = run(root, tmp_path / str(probed), detector, probed=probed)
        weights.append(small.weights(runner))
    if reentrant:
        for name, value in weights[0].items():
            torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-7)
    else:
        small.assert_bit_identical(*weights)
    assert ("checkpoints are non-reentrant" in caplog.text) == reentrant
    frame = Ledger.read(tmp_path / "True").frame
    assert set(frame.state) == {"measured"}
    assert frame.residual_gradient.max() < 1e-5


def _checkpointed(forward: Any, reentrant: bool, features: torch.Tensor) -> Any:
    return checkpoints.checkpoint(forward, features, use_reentrant=reentrant)
