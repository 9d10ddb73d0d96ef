"""Names of mmdet's configs: found, or the nearest told, without importing mmdet."""

import subprocess
import sys
from pathlib import Path

import pytest

from fpnprobe.config import mmdet_configs
from fpnprobe.config.mmdet_configs import config_file, find_misspelt
from fpnprobe.errors import EnvironmentProblem, FpnProbeError


@pytest.mark.parametrize(
    "name",
    [
        "faster-rcnn_r50_fpn_1x_coco",
        "faster-rcnn_r50_fpn_1x_coco.py",
        "faster_rcnn/faster-rcnn_r50_fpn_1x_coco",
        "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    ],
)
def test_a_shipped_config_by_each_of_its_names(name: str) -> None:
    file = config_file(name)
    assert (file.parent.name, file.stem) == ("faster_rcnn", "faster-rcnn_r50_fpn_1x_coco")


def test_a_file_comes_before_a_shipped_name(tmp_path: Path) -> None:
    file = tmp_path / "faster-rcnn_r50_fpn_1x_coco.py"
    file.touch()
    assert config_file(str(file)) == file


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("faster-rcn_r50_fpn_1x_coco", "faster-rcnn_r50_fpn_1x_coco"),
        ("faster_rcn", "faster-rcnn_r50_fpn_1x_coco"),  # a family's name
        ("retinanet", "retinanet_r50_fpn_1x_coco"),
    ],
)
def test_a_misspelled_name_is_told_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(FpnProbeError, match=f"no mmdet config '{name}'.* nearest: .*{nearest}"):
        config_file(name)


def test_nothing_is_suggested_for_what_is_like_nothing() -> None:
    with pytest.raises(FpnProbeError, match=r"a shipped name$"):
        config_file("qqqqq")


@pytest.mark.parametrize("name", ["../../__init__", "faster_rcnn/../../../__init__"])
def test_no_name_leads_out_of_the_configs(name: str) -> None:
    with pytest.raises(FpnProbeError, match="no mmdet config"):
        config_file(name)


def test_a_name_without_mmdet_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmdet_configs, "find_spec", lambda _name: None)
    with pytest.raises(EnvironmentProblem, match=r"not installed: give a file, or pip install"):
        config_file("faster-rcnn_r50_fpn_1x_coco")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "faster_rcn"),
        ("train", "faster_rcn"),
        ("probe", "faster_rcn"),
        ("probe", "faster-rcnn_r50_fpn_1x_coco", "--data", "nowhere"),
        ("attribute", "nowhere"),
    ],
)
def test_verbs_tell_what_is_misspelled_before_mmdet_is_imported(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('mmdet' in sys.modules))\n"
        f"sys.argv = ['fpnprobe', *{arguments!r}]\n"
        "from fpnprobe.cli.main import entry\n"
        "entry()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    assert done.stdout.strip() == "False"


def test_misspelt_keys_are_suspected_where_a_near_one_exists() -> None:
    config = {"model": {"backbone": {"depth": 50}}, "train_cfg": {"max_epochs": 12}}
    assert find_misspelt(config, ["model.bakbone.frozen_stages", "train_cfg.max_epochs"]) == [
        "model.bakbone is new to the config: did you mean backbone?"
    ]
    assert find_misspelt(config, ["model.neck.type", "load_from", "train_cfg.max_epochs.x"]) == []
