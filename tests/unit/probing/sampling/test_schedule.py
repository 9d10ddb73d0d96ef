from typing import Any

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing import Schedule


@pytest.mark.parametrize(
    ("value", "due"),
    [
        (50, [0, 50, 100]),
        ([3, 70], [3, 70]),
        (range(0, 5, 2), [0, 2, 4]),
        ({"log": 3, "last": 99}, [0, 9, 99]),
        (Schedule(interval=100), [0, 100]),
    ],
)
def test_what_is_due(value: Any, due: list[int]) -> None:
    schedule = Schedule.of(value)
    assert [i for i in range(101) if schedule.due(i)] == due


@pytest.mark.parametrize("value", [0, -1, [], [-2], "often", True, {"log": 1, "last": 9}, {"a": 1}])
def test_what_is_no_schedule(value: Any) -> None:
    with pytest.raises(FpnProbeError):
        Schedule.of(value)
