"""A forecast is what mmdet publishes, scaled: at its anchor it says what was published."""

import json
from pathlib import Path

import pytest

from fpnprobe.bench.forecast import forecast_step, lines, run
from fpnprobe.config.gpus import GPUS
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.bench.step_count import count_step
from fpnprobe.mm.detectors import detector_config
from fpnprobe.mm.detectors.build import build_detector
from fpnprobe.mm.detectors.complexity import complexity
from tests.mm.tiny import study_file


def test_counting_without_convolutions_counts_the_same() -> None:
    model = detector_config({"width": 8, "channels": 16, "hidden": 16}, 5)
    facts = complexity(build_detector(model), size=(64, 64))
    count = count_step(model, size=(64, 64), images=2, classes=5)
    assert (count["flops"], count["parameters"]) == (facts["flops"], facts["parameters"])


@pytest.mark.slow
@pytest.mark.parametrize(("half", "published"), [(False, 4.0), (True, 3.4)])
def test_memory_of_the_anchor_is_what_mmdet_publishes(half: bool, published: float) -> None:
    model = detector_config({"config": "faster-rcnn_r50_fpn_1x_coco"}, 80)
    count = count_step(model, size=(800, 1344), images=2)
    step = forecast_step(GPUS["v100"], images=2, half=half, moments=1, **count)
    assert step["memory_gib"] == pytest.approx(published, rel=0.05)
    assert step["seconds_low"] == pytest.approx(2 * 3 * (0.03472 if half else 0.04673), rel=0.01)


def test_a_study(tmp_path: Path) -> None:
    study = study_file(tmp_path / "study", variants=["FPN", "FPN-Aux"], seeds=[0, 1], data__size=64)
    found = run(study, gpu="H100", nproc=2)
    json.dumps(found)
    assert [row["cells"] for row in found["rows"]] == [2, 2]
    assert found["rows"][0]["images"] == 1
    assert 0 < found["hours_low"] < found["hours_high"]
    assert found["rows"][1]["memory_gib"] > found["rows"][0]["memory_gib"]
    assert found["fits"]
    assert "not measured there" in lines(found)
    with pytest.raises(FpnProbeError, match="did you mean h100"):
        run(study, gpu="h10")
    with pytest.raises(FpnProbeError, match="multiple"):
        run(study, gpu="h100", nproc=3)
