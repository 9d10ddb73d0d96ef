"""The rule of balanced routes over several different steps, against its equation."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from fpnprobe.interventions import Intervention
from fpnprobe.interventions.backward import IntervenedBackward
from fpnprobe.interventions.balance import Balance
from fpnprobe.interventions.gains import Gain
from fpnprobe.interventions.masks import groups
from fpnprobe.testing import ToyPyramid

Floats = npt.NDArray[np.float64]


def images(seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return (1 + seed) * torch.randn(8, 3, 16, 16, dtype=torch.float64, generator=random)


def rule(**changes: object) -> Intervention:
    return Intervention.of({"balance": {"stages": "C2..C3", **changes}})


def step(backward: IntervenedBackward, x: Tensor, iteration: int, factor: float = 1.0) -> None:
    torch.manual_seed(0)  # the same weights each time
    model = ToyPyramid()
    loss, partition, taps = model.measured(x)
    with backward.around(loss, partition, taps, iteration=iteration, factor=factor):
        (loss * factor).backward()


def energy_of(x: Tensor) -> dict[str, Floats]:
    """Squared norms of one step alone."""
    alone = IntervenedBackward(rule(begin=1000))
    step(alone, x, 0)
    return dict(alone.energy)


def test_the_running_mean_is_that_of_the_equation() -> None:
    """e = decay * e + (1 - decay) * now, of the unscaled gradient, over different images."""
    backward = IntervenedBackward(rule(decay=0.9, begin=1000))
    expected: dict[str, Floats] = {}
    for number, factor in enumerate((1.0, 8.0, 0.25)):
        x = images(number)
        now = energy_of(x)
        step(backward, x, number, factor)
        expected = {
            stage: now[stage] if not expected else 0.9 * expected[stage] + 0.1 * now[stage]
            for stage in now
        }
    for stage, energy in expected.items():
        np.testing.assert_allclose(backward.energy[stage], energy, rtol=1e-9)
    assert not np.allclose(energy_of(images(0))["C2"], energy_of(images(2))["C2"], rtol=0.1)


def test_it_acts_from_its_first_iteration_on() -> None:
    backward = IntervenedBackward(rule(begin=5))
    step(backward, images(0), 0)
    assert backward._energies.gains(4) == {}
    moving = backward._energies.gains(5)
    assert set(moving) == {("C2", "direct"), ("C3", "direct")}
    for (stage, _), factors in moving.items():
        gains = Balance().gains(backward.energy[stage]).tolist()
        assert factors == [*gains, 1.0], "background keeps its gradient"


def test_an_overflow_does_not_enter_the_mean() -> None:
    backward = IntervenedBackward(rule(begin=1000))
    step(backward, images(0), 0)
    before = {stage: energy.copy() for stage, energy in backward.energy.items()}
    step(backward, images(1) * float("inf"), 1)
    for stage, energy in before.items():
        np.testing.assert_array_equal(backward.energy[stage], energy)


@pytest.mark.parametrize(
    "energy", [[9.0, 0.1, 0.1], [4.0, 1.0, 1.0], [100.0, 1.0, 0.0], [1.0, 1e-9, 1.0]]
)
@pytest.mark.parametrize("limit", [1.2, 10.0])
def test_gains_are_those_of_the_equation(energy: list[float], limit: float) -> None:
    e = np.array(energy)
    found = Balance(limit=limit).gains(e)
    sent = e[e > 0]
    raw = np.array([min(max((sent.mean() / each) ** 0.5, 1 / limit), limit) for each in sent])
    expected = raw * (sent.sum() / (raw**2 * sent).sum()) ** 0.5
    np.testing.assert_allclose(found[e > 0], expected, rtol=1e-12)
    assert (found[e <= 0] == 1).all()
    np.testing.assert_allclose((found**2 * e).sum(), e.sum(), rtol=1e-12)


def test_a_balancing_gains_gain_multiplies_a_fixed_one() -> None:
    place = ("C2", "direct")
    fixed = Gain(("C2",), "direct", 0.5)
    base, differing = groups([fixed], ["small", "background"], ["roi"], {place: [3.0, 1.0]})
    assert base == {place: 0.5}
    assert differing == [({place: 1.5}, frozenset({(0, "roi")}))]


def test_a_resumed_training_goes_on_with_the_same_means() -> None:
    whole = IntervenedBackward(rule(decay=0.5, begin=1000))
    step(whole, images(0), 0)
    resumed = IntervenedBackward(rule(decay=0.5, begin=1000))
    resumed.load_state_dict(whole.state_dict())
    for backward in (whole, resumed):
        step(backward, images(1), 1)
    for stage in whole.energy:
        np.testing.assert_array_equal(whole.energy[stage], resumed.energy[stage])
