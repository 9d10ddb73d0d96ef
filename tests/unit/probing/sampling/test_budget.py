"""A simulated training: the budget holds whatever a probe costs, and the interval says how."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.sampling.budget import Budget
from fpnprobe.probing.sampling.cost import Cost


class Training:
    """A clock that moves by `step` a step and by `extra` more where it is probed."""

    def __init__(self, step: float, extra: float, *, fraction: float = 0.02) -> None:
        self.now, self.step, self.extra = 0.0, step, extra
        self.waits = 0
        self.cost = Cost(wait=self._wait, clock=lambda: self.now)
        self.budget = Budget(fraction, cost=self.cost)
        self.probed: list[int] = []

    def _wait(self) -> None:
        self.waits += 1

    def run(self, steps: int, *, start: int = 0, first: float = 30.0) -> "Training":
        for i in range(start, start + steps):
            probe = self.budget.begin(i)
            self.probed += [i] * probe
            self.now += self.step + self.extra * probe + first * (i == start)
        return self


@settings(max_examples=60, deadline=None)
@given(
    step=st.floats(0.01, 3.0),
    ratio=st.floats(0.001, 8.0),
    fraction=st.sampled_from([0.005, 0.02, 0.1]),
)
def test_the_budget_holds(step: float, ratio: float, fraction: float) -> None:
    training = Training(step, ratio * step, fraction=fraction).run(6000)
    assert training.cost.step_s == pytest.approx(step, rel=1e-6)
    assert training.cost.extra_s == pytest.approx(ratio * step, rel=1e-6)
    interval = training.budget.interval
    assert interval is not None
    assert interval > 1 and ratio / interval <= fraction * (1 + 1e-6)
    spent = len(training.probed) * ratio
    assert spent <= 6000 * fraction + 3 * ratio  # two for calibration
    assert training.cost.fraction == pytest.approx(spent / 6000, rel=0.2, abs=3 * ratio / 6000)


def test_probed_iterations_are_on_a_common_grid() -> None:
    training = Training(1.0, 0.7).run(400)
    assert training.budget.interval == 50
    assert training.probed == [3, 8, 50, 100, 150, 200, 250, 300, 350]


def test_plain_steps_read_no_clock_and_wait_for_nothing() -> None:
    training = Training(1.0, 0.7).run(1000)
    assert training.waits <= 2 * len(training.probed) + 1


def test_a_validation_between_steps_changes_nothing() -> None:
    training = Training(1.0, 0.7).run(300)
    training.now += 500.0
    training.run(300, start=300, first=0.0)
    assert training.budget.interval == 50
    assert training.cost.step_s == pytest.approx(1.0)


def test_the_interval_follows_the_cost() -> None:
    training = Training(1.0, 0.1).run(2000)
    assert training.budget.interval == 5
    training.extra = 3.0
    training.run(40000, start=2000, first=0.0)
    assert training.budget.interval == 200


@pytest.mark.parametrize("slow", [5, 9, 10, 40])
def test_slow_first_steps_do_not_make_every_step_a_probed_one(slow: int) -> None:
    """A GPU plans each new shape of a batch for seconds: beside them a probe seems to be free."""
    training = Training(11.0, 0.0, fraction=0.05).run(slow)
    training.step, training.extra = 1.0, 2.0
    training.run(500 - slow, start=slow, first=0.0)
    assert training.budget.interval == 50
    assert training.cost.step_s == pytest.approx(1.0)
    assert sum(i >= slow for i in training.probed) <= 500 // 50 + 10


def test_going_on_keeps_the_grid_and_the_account() -> None:
    whole = Training(1.0, 0.7).run(400)
    half = Training(1.0, 0.7).run(170)
    rest = Training(1.0, 0.7)
    rest.cost.load_state_dict(half.cost.state_dict())
    rest.budget.interval = half.budget.interval
    rest.run(230, start=170)
    assert half.probed + rest.probed == whole.probed
    assert rest.cost.samples == whole.cost.samples
    assert rest.cost.fraction == pytest.approx(whole.cost.fraction, rel=0.1)


def test_a_run_saved_when_every_step_was_probed_finds_its_interval() -> None:
    training = Training(1.0, 0.7)
    training.budget.interval = 1
    training.run(400, start=170)
    assert training.budget.interval == 50


def test_processes_use_the_interval_they_agree_on() -> None:
    cost = Cost(clock=iter(range(10**6)).__next__)
    budget = Budget(0.02, cost=cost, agree=lambda own: 40 + own * 0)
    assert [i for i in range(200) if budget.begin(i)] == [3, 8, 40, 80, 120, 160]


@pytest.mark.parametrize("fraction", [0, 1, 2, -0.1])
def test_a_budget_is_a_fraction(fraction: float) -> None:
    with pytest.raises(FpnProbeError, match="expected a fraction"):
        Budget(fraction)


def test_nothing_measured_is_nan_and_no_probe_costs_nothing() -> None:
    cost = Cost()
    assert cost.step_s != cost.step_s
    assert cost.extra_s != cost.extra_s
    for _ in range(3):
        cost.begin(probed=False)
    assert cost.fraction == 0.0
