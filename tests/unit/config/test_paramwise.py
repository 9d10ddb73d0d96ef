"""Factors of single parameters and kinds of warm-up, as a study file says them."""

from typing import Any

import pytest

from fpnprobe.config import loading
from fpnprobe.errors import FpnProbeError
from fpnprobe.study import load
from tests.unit.study.conftest import content


def study(**schedule: Any) -> Any:
    return loading.validate(content(schedule={"iterations": 1, **schedule})).schedule


def test_nothing_is_multiplied_unless_the_study_says_so() -> None:
    paramwise = study().paramwise.model_dump()
    assert {name for name, factor in paramwise.items() if factor} == set()
    assert (study().warmup_policy, study().warmup_start) == ("linear", 0.01)


def test_factors_are_numbers_for_bias_norm_or_part_of_a_name() -> None:
    found = study(paramwise={"bias_lr_mult": 2, "custom_keys": {"norm": {"decay_mult": 0}}})
    assert found.paramwise.bias_lr_mult == 2.0
    assert found.paramwise.custom_keys["norm"].model_dump() == {"lr_mult": 1.0, "decay_mult": 0.0}


def test_factors_can_be_set_on_the_command_line(tmp_path: Any) -> None:
    file = tmp_path / "study.py"
    file.write_text("\n".join(f"{key} = {value!r}" for key, value in content().items()))
    schedule = load(
        file, ["schedule.paramwise.bias_decay_mult=0", "schedule.warmup_policy=constant"]
    ).schedule
    assert (schedule.paramwise.bias_decay_mult, schedule.warmup_policy) == (0.0, "constant")


@pytest.mark.parametrize(
    ("schedule", "part"),
    [
        ({"paramwise": {"bias_lr": 2}}, "bias_lr"),
        ({"paramwise": {"bias_lr_mult": -1}}, "bias_lr_mult"),
        ({"paramwise": {"custom_keys": {"norm": {"decay": 0}}}}, "decay"),
        ({"warmup_policy": "none"}, "warmup_policy"),
        ({"warmup_start": 0}, "warmup_start"),
    ],
)
def test_bad_factors_are_named(schedule: dict[str, Any], part: str) -> None:
    with pytest.raises(FpnProbeError, match=part):
        study(**schedule)
