"""Auxiliary heads on detectors: losses, uncertainty, inference, weights, nothing left behind."""

import copy
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from mmdet.structures.bbox import bbox2roi
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods import UncertaintyOptions
from fpnprobe.methods.uncertainty import optimal_damping
from fpnprobe.mm.auxiliary import UncertainLoss, drop_auxiliary
from fpnprobe.mm.auxiliary.detector import _collect_samplings
from fpnprobe.mm.auxiliary.uncertain_head import make_uncertain
from fpnprobe.mm.detectors import build_detector, detector_config
from fpnprobe.mm.inspect.generated_batch import generated_batch
from fpnprobe.mm.variants import apply_variant

SPEC = {"width": 8, "channels": 16, "hidden": 16, "size": 64, "proposals": 32, "rois": 16}
BOUNDS = [16.0**2, 32.0**2]


class Operators(TorchDispatchMode):
    """Notes every operator with the shapes of its tensors."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.called: list[tuple[str, list[torch.Size]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        shapes = [each.shape for each in tree_leaves(args) if isinstance(each, Tensor)]
        self.called.append((str(func), shapes))
        return func(*args, **(kwargs or {}))


def detector(name: str, framework: str = "faster_rcnn", **options: Any) -> Any:
    model = detector_config({**SPEC, "framework": framework}, 5)
    return build_detector(apply_variant(model, name, **options))


def data(model: Any, seed: int = 0) -> dict[str, Any]:
    batch = generated_batch(size=64, classes=5, bounds=BOUNDS, seed=seed)
    prepared: dict[str, Any] = model.data_preprocessor(batch, training=True)
    return prepared


def losses(model: Any, given: dict[str, Any]) -> dict[str, Tensor]:
    torch.manual_seed(0)  # the samplers draw
    found = model(**copy.deepcopy(given), mode="loss")
    return {n: torch.stack(v).sum() if isinstance(v, list) else v for n, v in found.items()}


@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
def test_auxiliary_losses_are_added_to_the_detectors_own(framework: str) -> None:
    plain, auxiliary = detector("FPN", framework), detector("FPN-Aux", framework)
    auxiliary.load_state_dict(plain.state_dict())  # strict
    given = data(plain)
    own, both = losses(plain, given), losses(auxiliary, given)
    for name, value in own.items():
        torch.testing.assert_close(both[name], value)
    added = {name for name in both if name not in own and "loss" in name}
    assert added == {f"aux{i}.loss_{part}" for i in (2, 3, 4) for part in ("cls", "bbox")}


def test_two_stage_heads_take_the_rois_of_the_main_sampling() -> None:
    model = detector("FPN-Aux")
    given = data(model)
    pooled: list[Tensor] = []
    main: list[Tensor] = []
    model.auxiliary_heads["3"].extractor.register_forward_hook(
        lambda _m, inputs, _o: pooled.append(inputs[1])
    )
    model.roi_head.bbox_roi_extractor.register_forward_hook(
        lambda _m, inputs, _o: main.append(inputs[1])
    )
    losses(model, given)
    assert len(main) == 1
    torch.testing.assert_close(pooled[0], main[0])


def test_auxiliary_loss_without_uncertainty_is_the_plain_one() -> None:
    plain, uncertain = detector("FPN-Aux"), detector("FPN-AuxU")  # a starts at 0
    uncertain.load_state_dict(plain.state_dict(), strict=False)
    given = data(plain)
    expected = losses(plain, given)
    for name, value in losses(uncertain, given).items():
        torch.testing.assert_close(value, expected[name])


@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
def test_constant_uncertainty_damps_and_costs_as_the_equation_says(framework: str) -> None:
    """L = exp(-a) L^ + tau a, with one a for a level, on the logged losses."""
    plain = detector("FPN-Aux", framework)
    literal = {"granularity": "level", "coefficient": "tau"}
    uncertain = detector("FPN-AuxU", framework, bias=0.7, tau=0.3, **literal)
    uncertain.load_state_dict(plain.state_dict(), strict=False)
    given = data(plain)
    expected = losses(plain, given)
    for name, value in losses(uncertain, given).items():
        if name.startswith("aux") and "loss" in name:
            a = torch.tensor(0.7)
            torch.testing.assert_close(value, torch.exp(-a) * expected[name] + 0.3 * a)


@dataclass
class LossCall:
    """What a head gave to one of its losses."""

    loss: UncertainLoss
    inputs: tuple[Any, ...]
    options: dict[str, Any]

    def own_losses(self) -> Tensor:
        """The loss of each prediction, as no weight and no normalizer has changed it."""
        pred, target, *_ = self.inputs
        rows = self.loss.inner(pred, target, reduction_override="none")
        own: Tensor = rows.detach().reshape(len(pred), -1).sum(dim=1)
        return own

    def gradient(self, loss: Callable[..., Tensor]) -> Tensor:
        """The gradient of a loss at each prediction."""
        pred, *rest = self.inputs
        leaf = pred.detach().requires_grad_()
        gradient: Tensor = torch.autograd.grad(loss(leaf, *rest, **self.options), leaf)[0]
        return gradient.reshape(len(pred), -1)


def loss_call(model: Any, part: str) -> LossCall:
    """The call of the auxiliary loss of C2, with inputs as in training."""
    calls: list[LossCall] = []
    loss = getattr(model.auxiliary_heads["2"].head, f"loss_{part}")
    handle = loss.register_forward_hook(
        lambda module, inputs, options, _out: calls.append(LossCall(module, inputs, options)),
        with_kwargs=True,
    )
    losses(model, data(model))
    handle.remove()
    return calls[0]


@pytest.mark.parametrize("coefficient", ["capped", "tau"])
@pytest.mark.parametrize("part", ["cls", "bbox"])
@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
def test_at_its_optimum_an_uncertainty_damps_by_tau_over_the_loss(
    framework: str, part: str, coefficient: str
) -> None:
    """min(1, tau / L) for each prediction of RoI and focal heads, normalized as in training."""
    call = loss_call(detector("FPN-AuxU", framework, coefficient=coefficient), part)
    own = call.own_losses()
    tau = float(own[own > 0].median())  # damps some predictions and leaves others
    call.loss.options = dataclasses.replace(call.loss.options, tau=tau)
    scores = (own / tau).clamp(min=1).log().requires_grad_()
    shared = call.loss._shared
    shared.scores = {call.loss.part: scores}
    plain = call.gradient(call.loss.inner)
    damping = torch.tensor([optimal_damping(float(each), tau) for each in own])
    assert 0.2 < float((damping[own > 0] < 1).float().mean()) < 0.8
    assert float(plain.abs().sum()) > 0
    torch.testing.assert_close(call.gradient(call.loss), damping[:, None] * plain)
    # It is the optimum: no other value of the scores has a lower loss.
    pred, *rest = call.inputs
    best = call.loss(pred.detach(), *rest, **call.options)
    (slope,) = torch.autograd.grad(best, scores)
    assert (slope[own > tau].abs() < 1e-6).all()
    assert (slope[own <= tau] >= 0).all()
    for step in (-0.1, 0.1):
        shared.scores = {call.loss.part: (scores.detach() + step).clamp(min=0)}
        assert float(call.loss(pred.detach(), *rest, **call.options)) >= float(best.detach())


@pytest.mark.parametrize("part", ["cls", "bbox"])
@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
def test_at_its_optimum_an_uncertainty_of_a_level_damps_by_tau_over_the_logged_loss(
    framework: str, part: str
) -> None:
    call = loss_call(detector("FPN-AuxU", framework, granularity="level"), part)
    pred, *rest = call.inputs
    logged = float(call.loss.inner(pred.detach(), *rest, **call.options))
    tau = logged / 4
    call.loss.options = dataclasses.replace(call.loss.options, tau=tau)
    best = torch.full((len(pred),), math.log(4.0))
    call.loss._shared.scores = {call.loss.part: best}
    plain = call.gradient(call.loss.inner)
    torch.testing.assert_close(call.gradient(call.loss), optimal_damping(logged, tau) * plain)


@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
@pytest.mark.parametrize("granularity", ["prediction", "level"])
def test_uncertainty_learns_to_damp_a_loss_above_tau(granularity: str, framework: str) -> None:
    model = detector("FPN-AuxU", framework, tau=0.05, granularity=granularity)
    for head in model.auxiliary_heads.values():
        if framework == "faster_rcnn":  # its first boxes are the objects themselves: no loss
            torch.nn.init.normal_(head.head.fc_reg.weight, std=1.0)
    given = data(model)
    parts = [p for head in model.auxiliary_heads.values() for p in head.uncertainty.parameters()]
    optimizer = torch.optim.SGD(parts, lr=0.2)
    for _ in range(10):
        optimizer.zero_grad()
        found = losses(model, given)
        terms = [value for name, value in found.items() if name[:3] == "aux" and "loss" in name]
        torch.stack(terms).sum().backward()
        optimizer.step()
    alpha = model.auxiliary_heads["2"].uncertainty.shared.alpha
    assert float(alpha["classification"]) > 0.1, alpha
    assert float(alpha["regression"]) > 0.1, alpha


@pytest.mark.parametrize("name", ["FPN-Aux", "FPN-AuxU"])
def test_no_objects_is_no_problem_and_leaves_no_parameter_unused(name: str) -> None:
    model = detector(name)
    given = data(model)
    for sample in given["data_samples"]:
        sample.gt_instances = sample.gt_instances[:0]
    loss, _ = model.parse_losses(losses(model, given))
    loss.backward()
    heads = list(model.auxiliary_heads.named_parameters())
    assert [n for n, p in heads if p.grad is None] == []


@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
def test_prediction_runs_the_plain_detectors_modules_and_result(framework: str) -> None:
    plain, auxiliary = detector("FPN", framework), detector("FPN-AuxU", framework)
    auxiliary.load_state_dict(plain.state_dict())
    used: dict[str, list[str]] = {}
    results = {}
    for label, model in {"plain": plain, "auxiliary": auxiliary}.items():
        called = used.setdefault(label, [])
        for name, module in model.named_modules():
            if name:
                module.register_forward_hook(lambda _m, _i, _o, n=name, c=called: c.append(n))
        model.eval()
        with torch.no_grad():
            results[label] = model(**data(model), mode="predict")[0].pred_instances
    assert used["plain"] == used["auxiliary"]
    torch.testing.assert_close(results["plain"].bboxes, results["auxiliary"].bboxes)


@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
@pytest.mark.parametrize("name", ["FPN", "DC5", "FPN-CFG2"])
def test_prediction_calls_the_plain_detectors_operators(framework: str, name: str) -> None:
    """The same operators on the same shapes in the same order, so the same time."""
    plain, auxiliary = detector(name, framework), detector(f"{name}-AuxU", framework)
    auxiliary.load_state_dict(plain.state_dict())
    given = data(plain)
    called: dict[str, list[tuple[str, list[torch.Size]]]] = {}
    counted: dict[str, int] = {}
    for label, model in {"plain": plain, "auxiliary": auxiliary}.items():
        model.eval()
        torch.manual_seed(0)
        with torch.no_grad(), FlopCounterMode(display=False) as flops, Operators() as operators:
            model(**copy.deepcopy(given), mode="predict")
        called[label], counted[label] = operators.called, flops.get_total_flops()
    assert called["plain"] == called["auxiliary"]
    assert counted["plain"] == counted["auxiliary"] > 0
    assert len(called["plain"]) > 100


def test_weights_load_either_way() -> None:
    plain, auxiliary = detector("FPN"), detector("FPN-AuxU")
    kept = {name: value.clone() for name, value in auxiliary.auxiliary_heads.state_dict().items()}
    auxiliary.load_state_dict(plain.state_dict())
    for name, value in auxiliary.auxiliary_heads.state_dict().items():
        assert torch.equal(value, kept[name])
    wrong = plain.load_state_dict(auxiliary.state_dict(), strict=False)
    assert not wrong.missing_keys
    assert all(name.startswith("auxiliary_heads.") for name in wrong.unexpected_keys)
    with pytest.raises(RuntimeError, match="auxiliary_heads"):  # half of the heads is an error
        partial = {k: v for k, v in auxiliary.state_dict().items() if "auxiliary_heads.3" not in k}
        auxiliary.load_state_dict(partial)


def test_dropping_the_heads_leaves_the_plain_detector() -> None:
    plain, auxiliary = detector("FPN"), detector("FPN-AuxU")
    assert isinstance(auxiliary, type(plain))
    dropped = drop_auxiliary(auxiliary)
    assert type(dropped) is type(plain)
    dropped.load_state_dict(plain.state_dict())
    assert "auxiliary_heads" not in dict(dropped.named_children())
    assert drop_auxiliary(plain) is plain


def test_nothing_is_left_behind_when_the_loss_raises() -> None:
    model = detector("FPN-AuxU")
    given = data(model)

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())

    before = hooks()
    del given["data_samples"][0].gt_instances
    with pytest.raises(AttributeError):
        losses(model, given)
    assert hooks() == before
    assert "sample" not in vars(model.roi_head.bbox_sampler)


def test_recording_the_sampling_keeps_what_another_has_put_there() -> None:
    model = detector("FPN-Aux")
    sampler = model.roi_head.bbox_sampler
    other = sampler.sample
    sampler.sample = other  # as a probe does
    with _collect_samplings(model):
        assert sampler.sample is not other
    assert vars(sampler)["sample"] is other


@pytest.mark.parametrize(
    ("options", "channels"),
    [({}, 16), ({"auxiliary_width": "raw"}, 32), ({"auxiliary_width": 24}, 24)],
)
def test_width_of_the_projection(options: dict[str, Any], channels: int) -> None:
    head = detector("FPN-Aux", auxiliary_stages=(4,), **options).auxiliary_heads["4"]
    assert head.head.in_channels == channels


@pytest.mark.parametrize(("anchors", "count"), [("all", 30), ("octave", 15), ("own", 6)])
def test_anchors_of_a_one_stage_head(anchors: str, count: int) -> None:
    model = detector("FPN-Aux", "retinanet", auxiliary_anchors=anchors)
    levels = model.bbox_head.prior_generator.base_anchors
    (own,) = model.auxiliary_heads["2"].head.prior_generator.base_anchors
    assert len(own) == count
    sizes = {name: sorted(areas) for name, areas in _areas(levels, own).items()}
    chosen = {
        "all": sizes["levels"],
        # of each level's two sizes the first
        "octave": [a for level in levels for a in _areas([level[::2]], own)["levels"]],
        "own": [float(area) for area in _areas([levels[0]], own)["levels"]],
    }
    assert sizes["own"] == pytest.approx(sorted(chosen[anchors]))


def _areas(levels: list[Tensor], own: Tensor) -> dict[str, list[float]]:
    def area(boxes: Tensor) -> list[float]:
        return ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).tolist()

    return {"levels": [a for level in levels for a in area(level)], "own": area(own)}


def test_unknown_anchors_are_refused() -> None:
    with pytest.raises(FpnProbeError, match="expected all, octave, own"):
        detector("FPN-Aux", "retinanet", auxiliary_anchors="many")


def test_heads_without_known_layers_are_refused_for_uncertainty() -> None:
    with pytest.raises(FpnProbeError, match="Linear has no known layer for classification"):
        make_uncertain(torch.nn.Linear(2, 2), UncertaintyOptions())


def test_uncertain_rows_sum_to_the_uncertain_loss() -> None:
    model = detector("FPN-AuxU")
    seen: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, UncertainLoss):
            module.rows.register_forward_hook(
                lambda _m, _i, out, n=name: seen.__setitem__(n, out.detach().sum())
            )
    found = losses(model, data(model))
    for stage in (2, 3, 4):
        for part in ("cls", "bbox"):
            rows = seen[f"auxiliary_heads.{stage}.head.loss_{part}"]
            torch.testing.assert_close(rows, found[f"aux{stage}.loss_{part}"].detach())


def test_sampled_rois_are_those_of_the_first_cascade_stage() -> None:
    config = detector_config({"config": "cascade-rcnn_r50_fpn_1x_coco"}, 5)
    config.backbone.depth, config.neck.in_channels = 18, [64, 128, 256, 512]
    for head in config.roi_head.bbox_head:
        head.fc_out_channels = 16
    for part in config.train_cfg.rcnn:
        part.sampler.num = 16
    model = build_detector(apply_variant(config, "FPN-Aux"))
    first: list[Tensor] = []
    model.roi_head.bbox_roi_extractor[0].register_forward_hook(
        lambda _m, inputs, _o: first.append(inputs[1])
    )
    with _collect_samplings(model) as samplings:
        losses(model, data(model))
    torch.testing.assert_close(bbox2roi([s.priors for s in samplings]), first[0])
