"""Rules on the losses against what their papers print, on a small graph."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions import Intervention
from fpnprobe.interventions.backward import IntervenedBackward
from fpnprobe.interventions.gradient_surgery import surgery_weights
from fpnprobe.interventions.loss_rules import RuledBackward
from fpnprobe.probing.calls import LossCall
from fpnprobe.probing.partition import LossPartition

LABELS = torch.tensor([0, 1, 2, 3, 0, 2])  # small, medium, large, background
OBJECTS = torch.tensor([0, 1, 2, -1, 0, 2])
AREAS = torch.tensor([100.0, 2000.0, 20000.0], dtype=torch.float64)


def loss_of(weight: torch.nn.Parameter) -> tuple[Tensor, LossPartition, Tensor]:
    torch.manual_seed(0)
    inputs = torch.randn(6, 4, dtype=torch.float64)
    rows = (torch.tanh(inputs @ weight) - torch.randn(6, dtype=torch.float64)) ** 2
    partition = LossPartition(areas=AREAS)
    partition.add(LossCall("loss", "loss", rows, rows, LABELS, objects=OBJECTS))
    return rows.sum() / 3, partition, rows


def gradients(weight: torch.nn.Parameter) -> dict[int, Tensor]:
    _, _, rows = loss_of(weight)
    return {
        label: torch.autograd.grad(rows[label == LABELS].sum() / 3, weight, retain_graph=True)[0]
        for label in range(4)
    }


def ruled(rule: Any, weight: torch.nn.Parameter, *, factor: float = 1.0) -> Tensor:
    loss, partition, _ = loss_of(weight)
    backward = IntervenedBackward(Intervention(rule=rule))
    with backward.around(loss, partition, [], iteration=0, factor=factor, parameters=[weight]):
        (factor * loss).backward()
    assert weight.grad is not None
    assert not weight._backward_hooks
    return weight.grad


@pytest.fixture
def weight() -> torch.nn.Parameter:
    torch.manual_seed(1)
    return torch.nn.Parameter(torch.randn(4, dtype=torch.float64))


@pytest.mark.parametrize("factor", [1.0, 8.0])
def test_log_area_weighs_each_object_by_the_logarithm_of_its_area(
    weight: torch.nn.Parameter, factor: float
) -> None:
    _, _, rows = loss_of(weight)
    logs = AREAS.log() / AREAS.log().mean()
    weights = torch.tensor([logs[o] if o >= 0 else 1.0 for o in OBJECTS.tolist()]).double()
    (expected,) = torch.autograd.grad((weights * rows).sum() / 3, weight)
    torch.testing.assert_close(ruled("LogArea", weight, factor=factor), factor * expected)


def test_uncertainty_weights_are_the_gradient_of_kendalls_loss(weight: torch.nn.Parameter) -> None:
    own = gradients(weight)
    loss, partition, rows = loss_of(weight)
    rule = RuledBackward("UW")
    s = {"small": 0.5, "medium": -0.2, "large": 0.0}
    rule.load_state_dict({name: [value] for name, value in s.items()})
    with rule.around(loss, partition, [weight], iteration=0):
        loss.backward()
    expected = own[3] + sum(math.exp(-v) * own[i] for i, v in enumerate(s.values()))
    torch.testing.assert_close(weight.grad, expected)
    for label, (name, value) in enumerate(s.items()):
        bucket = float(rows.detach()[label == LABELS].sum() / 3)
        slope = 1 - math.exp(-value) * bucket  # of exp(-s) L + s
        assert rule.log_variances[name] == pytest.approx(value - 0.01 * slope)


def test_a_bucket_without_loss_or_with_an_endless_slope_learns_no_weight() -> None:
    rule = RuledBackward("UW")
    far = {"small": 0.5, "medium": -800.0, "large": 0.25}  # exp(700) is endless times its loss
    rule.load_state_dict({name: [value] for name, value in far.items()})
    rule.log_variances["medium"] = -700.0
    values = torch.tensor([0.0, 1e200, 2.0, 0.0], dtype=torch.float64)
    weights = rule._uncertainty_weights(values, LossPartition(areas=AREAS))
    assert rule.log_variances["small"] == 0.5  # no loss: nothing to weigh
    assert rule.log_variances["medium"] == -700.0
    assert rule.log_variances["large"] == pytest.approx(0.25 - 0.01 * (1 - math.exp(-0.25) * 2))
    assert weights[-1] == 1.0  # background


def test_surgery_is_algorithm_1(weight: torch.nn.Parameter) -> None:
    own = gradients(weight)
    tasks = [own[label] for label in range(3)]
    random = np.random.default_rng(0)
    projected = []
    for i, task in enumerate(tasks):
        g = task.clone()
        for j in random.permutation([each for each in range(3) if each != i]):
            inner = g @ tasks[j]
            if inner < 0:
                g = g - inner / (tasks[j] @ tasks[j]) * tasks[j]
        projected.append(g)
    torch.testing.assert_close(ruled("PCGrad", weight), own[3] + sum(projected))


def test_surgery_of_opposite_tasks_leaves_nothing() -> None:
    assert surgery_weights(np.array([[1.0, -1.0], [-1.0, 1.0]]), seed=0) @ [1, -1] == 0


def test_rows_without_objects_are_refused(weight: torch.nn.Parameter) -> None:
    loss, partition, _ = loss_of(weight)
    partition.areas = None
    with (
        pytest.raises(FpnProbeError, match="do not tell their objects"),
        RuledBackward("LogArea").around(loss, partition, [weight], iteration=0),
    ):
        pass


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(FpnProbeError, match="expected one of LogArea, UW, PCGrad"):
        Intervention.of({"rule": "GradNorm"})
    assert Intervention.of({"rule": "UW"}).to_data()["rule"] == "UW"
    assert "rule" not in Intervention().to_data()
