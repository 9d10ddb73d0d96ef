"""`fpnprobe check`: the invariants on any mmdet config."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from fpnprobe.cli import main
from fpnprobe.data import scenes
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect import check, check_table
from fpnprobe.mm.inspect.check import model as check_of_model
from fpnprobe.mm.inspect.check.result import CheckResult
from fpnprobe.probing import Residuals
from tests.mm.adapters.frameworks import CLASSES, CONFIGS, tiny

SMALL = """
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=4,
        out_indices=(0, 1, 2, 3), init_cfg=dict(type='Pretrained', checkpoint='torchvision://x')),
    neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=16, num_outs=5),
    bbox_head=dict(type='RetinaHead', num_classes=7, in_channels=16, feat_channels=16,
        stacked_convs=1,
        anchor_generator=dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=1,
            ratios=[1.0], strides=[4, 8, 16, 32, 64]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'), HEAD),
    train_cfg=dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4,
        min_pos_iou=0), sampler=dict(type='PseudoSampler'), allowed_border=-1, pos_weight=-1,
        debug=False))
"""


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.py"
    path.write_text(SMALL.replace("HEAD", "loss_cls=dict(type='FocalLoss', use_sigmoid=True)"))
    return str(path)


def run(*arguments: str) -> Any:
    if not main.app.registered_commands:
        main.register()
    return CliRunner().invoke(main.app, ["check", *arguments, "--size", "96"])


def test_json_is_the_contract(small: str) -> None:
    result = run(small, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["config"] == small and found["ok"] is True and found["tolerance"] == 1e-5
    assert set(found["residuals"]) == {"loss", "parameter", "activation", "routes"}
    assert all(0 <= value <= 1e-5 for value in found["residuals"].values())


def test_a_given_batch_is_checked_as_well(small: str, tmp_path: Path) -> None:
    data = scenes.make(tmp_path / "scenes", train=1, val=2, size=96)
    result = run(small, "--data", str(data), "--json")
    assert result.exit_code == 0, result.output
    assert all(0 <= value <= 1e-5 for value in json.loads(result.stdout)["residuals"].values())
    assert run(small, "--data", str(tmp_path / "none")).exit_code != 0


def test_several_configs_make_one_table(small: str) -> None:
    result = run(small, small, "--markdown")
    lines = result.stdout.splitlines()
    assert lines[0] == "| config | loss | parameter | activation | routes | labels | ok |"
    assert len(lines) == 4 and all(line.endswith("| yes |") for line in lines[2:])
    plain = run(small)
    names = ["config", "loss", "parameter", "activation", "routes", "labels", "ok"]
    assert plain.stdout.splitlines()[0].split() == names
    assert len(json.loads(run(small, small, "--json").stdout)) == 2


def test_beyond_the_tolerance_the_exit_code_is_1(small: str) -> None:
    result = run(small, "--tolerance", "1e-12", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False
    assert "residual is" in result.stderr and "expected at most 1e-12" in result.stderr


def test_a_loss_that_the_partition_misses_is_found() -> None:
    detector = tiny("retinanet")
    original = detector.bbox_head.loss
    detector.bbox_head.loss = lambda x, s: original(x, s) | {"loss_more": x[0].square().mean()}
    result = check.check_model(detector, name="more", classes=CLASSES, size=96)
    assert not result.ok and result.residuals.loss > 1e-5 and result.residuals.activation > 1e-5
    said = check_table.problem([result])
    assert said is not None and "a term of the loss is outside the known rows" in said


def test_a_frozen_backbone_is_no_fault() -> None:
    result = check.check_model(tiny("retinanet", frozen_stages=4), classes=CLASSES, size=96)
    assert result.frozen and result.ok


def test_rounding_is_told_from_a_missing_term(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twin: the tolerance of float32 set below its rounding, so that an exact model is over it."""
    monkeypatch.setattr(check_of_model, "TOLERANCE", 1e-12)
    exact = check.check_model(tiny("retinanet"), classes=CLASSES, size=96, tolerance=1e-12)
    assert exact.ok and "is rounding of float32" in exact.sentence


def test_a_residual_that_was_not_measured_is_not_ok() -> None:
    result = CheckResult("x", Residuals(loss=0.0), 1e-5, (), 0)
    assert not result.ok and result.to_dict()["residuals"]["routes"] is None


def test_a_config_that_is_not_there_says_what_is_near() -> None:
    with pytest.raises(FpnProbeError, match="nearest: retinanet_r50_fpn_1x_coco"):
        check.check_config("retinanet_r50_fpn_1x_cocoo", size=64)


def test_one_that_fails_does_not_stop_the_others(small: str, tmp_path: Path) -> None:
    typo = tmp_path / "typo.py"
    typo.write_text(Path(small).read_text().replace("type='ResNet'", "type='RezNet'"))
    result = run(str(typo), small, "--json")
    assert result.exit_code == 2 and "Traceback" not in result.output
    first, second = json.loads(result.stdout)
    assert "RezNet" in first["error"] and not first["ok"] and second["ok"]
    assert sum(second["witnessed"].values()) > 0
    assert "error: " in result.stderr and result.stderr.count("\n") <= 4


def test_nothing_named_is_one_line() -> None:
    result = run()
    assert result.exit_code == 2 or "nothing to check" in str(result.exception)


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"size": -5}, {"tolerance": -1.0}, {"tolerance": float("nan")}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(FpnProbeError, match="expected a side of at least 32 px"):
        check.check_config("retinanet_r50_fpn_1x_coco", **options)


def test_a_file_that_is_no_config(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("model = = 3")
    for name in (tmp_path / "config.py", tmp_path / "text"):
        name.touch()
        with pytest.raises(FpnProbeError, match="mmdet config"):
            check.check_config(str(name))


def test_reentrant_checkpointing_is_measured() -> None:
    detector = tiny("fcos", with_cp=True, frozen_stages=-1)
    assert check.check_model(detector, classes=CLASSES, size=96).ok


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_stock_configs_are_exact(name: str) -> None:
    torch.manual_seed(0)
    assert check.check_config(CONFIGS[name], size=96).ok
