"""Auxiliary heads on detectors: losses, uncertainty, inference, weights, nothing left behind."""

import copy
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
from fpnprobe.mm.auxiliary import UncertainLoss, drop_auxiliary
from fpnprobe.mm.auxiliary.detector import _samplings
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
    plain, uncertain = detector("FPN-Aux"), detector("FPN-AuxU", bias=0.0)
    for head in uncertain.auxiliary_heads.values():
        for part in head.uncertainty.parts.values():
            torch.nn.init.zeros_(part.weight)  # so a = 0
    uncertain.load_state_dict(plain.state_dict(), strict=False)
    given = data(plain)
    expected = losses(plain, given)
    for name, value in losses(uncertain, given).items():
        torch.testing.assert_close(value, expected[name])


@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
def test_constant_uncertainty_damps_and_costs_as_the_equation_says(framework: str) -> None:
    """L = exp(-a) L^ + tau a, with the same a for every prediction, on the logged losses."""
    plain = detector("FPN-Aux", framework)
    uncertain = detector("FPN-AuxU", framework, bias=0.7, tau=0.3)
    for head in uncertain.auxiliary_heads.values():
        for part in head.uncertainty.parts.values():
            torch.nn.init.zeros_(part.weight)
    uncertain.load_state_dict(plain.state_dict(), strict=False)
    given = data(plain)
    expected = losses(plain, given)
    for name, value in losses(uncertain, given).items():
        if name.startswith("aux") and "loss" in name:
            a = torch.tensor(0.7)
            torch.testing.assert_close(value, torch.exp(-a) * expected[name] + 0.3 * a)


@pytest.mark.parametrize("granularity", ["prediction", "level"])
def test_uncertainty_learns_to_damp_a_loss_above_tau(granularity: str) -> None:
    model = detector("FPN-AuxU", tau=0.2, granularity=granularity)
    given = data(model)
    parts = [p for head in model.auxiliary_heads.values() for p in head.uncertainty.parameters()]
    optimizer = torch.optim.SGD(parts, lr=0.2)
    for _ in range(10):
        optimizer.zero_grad()
        found = losses(model, given)
        torch.stack([v for name, v in found.items() if name.endswith("loss_cls")]).sum().backward()
        optimizer.step()
    learned = model.auxiliary_heads["2"].uncertainty.parts["classification"].bias
    assert float(learned.detach()) > 0.3  # from 0.1


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
    with _samplings(model):
        assert sampler.sample is not other
    assert vars(sampler)["sample"] is other


@pytest.mark.parametrize(
    ("options", "channels"),
    [({}, 16), ({"auxiliary_width": "raw"}, 32), ({"auxiliary_width": 24}, 24)],
)
def test_width_of_the_projection(options: dict[str, Any], channels: int) -> None:
    head = detector("FPN-Aux", auxiliary_stages=(4,), **options).auxiliary_heads["4"]
    assert head.head.in_channels == channels


def test_one_stage_head_has_the_anchors_of_all_levels() -> None:
    model = detector("FPN-Aux", "retinanet")
    levels = model.bbox_head.prior_generator.base_anchors
    areas = sorted(float((b[2] - b[0]) * (b[3] - b[1])) for level in levels for b in level)
    (own,) = model.auxiliary_heads["2"].head.prior_generator.base_anchors
    assert sorted(float((b[2] - b[0]) * (b[3] - b[1])) for b in own) == pytest.approx(areas)


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
    with _samplings(model) as samplings:
        losses(model, data(model))
    torch.testing.assert_close(bbox2roi([s.priors for s in samplings]), first[0])
