"""What a request of `fpnprobe train` refuses, before anything is imported or built."""

from typing import Any

import pytest

from fpnprobe.config.training_request import TrainingRequest
from fpnprobe.errors import FpnProbeError


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mode": "route"}, r"--mode 'route': did you mean routes\?"),
        ({"budget": 2.0}, "--budget 2: expected a fraction, such as 0.02"),
        ({"budget": 0.0}, "--budget 0: expected a fraction"),
        ({"launcher": "mpi"}, "--launcher 'mpi': expected one of none, pytorch, slurm"),
        ({"options": ("lr",)}, "--cfg-options 'lr': expected KEY=VALUE"),
        ({"options": ("=3",)}, "--cfg-options '=3': expected KEY=VALUE"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(FpnProbeError, match=told):
        TrainingRequest(config="x.py", **options)


def test_a_mode_reaches_the_hook() -> None:
    assert TrainingRequest(config="x.py", mode="norms").probe_hook(None)["mode"] == "norms"
