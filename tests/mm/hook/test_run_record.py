"""What the hook says, and what it refuses, without a training."""

from fpnprobe.mm.hook.run_evaluation import _rows_of_metrics
from fpnprobe.mm.hook.run_record import closing
from fpnprobe.mm.hook.runner_facts import advise_thawing


def test_a_frozen_stage_comes_with_how_to_thaw_it() -> None:
    class Backbone:
        frozen_stages = 1

    assert "set frozen_stages=0" in advise_thawing(Backbone(), ["C2"])
    assert advise_thawing(Backbone(), []) == ""


def test_metrics_of_mmengine_become_rows() -> None:
    cell = {"study": "", "variant": "FPN", "seed": 0}
    table = _rows_of_metrics({"coco/bbox_mAP": 0.25, "coco/bbox_mAP_s": -1.0, "loss": 3.0}, cell, 7)
    assert table["metric"].tolist() == ["AP", "AP_S"]
    assert table["value"].iloc[0] == 0.25
    assert table["value"].isna().tolist() == [False, True]  # COCO's -1: nothing to evaluate


def test_the_last_line_names_what_does_not_hold() -> None:
    told = {
        "samples": 4, "unsound": 2, "nonfinite": 0, "underflow": 0, "cost": 0.018,
        "arithmetic": "float32", "residuals": {"loss": 1e-7, "gradient": None, "routes": 2e-7},
    }  # fmt: skip
    assert closing(told) == (
        "4 samples, cost 1.8 % of training, worst residual 2.0e-07 in float32, 2 unsound"
    )
