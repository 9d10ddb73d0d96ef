"""Configs of mmdet's zoo whose heads have no adapter hold, with witnessed labels."""

import pytest

from fpnprobe.config.mmdet_configs import config_file
from fpnprobe.mm.inspect import check, zoo

TEN = (
    "gfl_r50_fpn_1x_coco",
    "vfnet_r50_fpn_1x_coco",
    "tood_r50_fpn_1x_coco",
    "rtmdet_tiny_8xb32-300e_coco",
    "rtmdet-ins_tiny_8xb32-300e_coco",
    "yolox_tiny_8xb8-300e_coco",
    "detr_r50_8xb2-150e_coco",
    "deformable-detr_r50_16xb2-50e_coco",
    "reppoints-moment_r50_fpn_1x_coco",
    "centernet_r18_8xb16-crop512-140e_coco",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", TEN)
def test_a_config_without_an_adapter_holds(name: str) -> None:
    result = check.check_config(name, size=96)
    assert result.ok and not result.error
    assert sum(result.rows.values()) > 0


def test_a_small_one_is_witnessed() -> None:
    result = check.check_config("yolox_tiny_8xb8-300e_coco", size=96)
    assert result.ok
    assert sum(result.witnessed.values()) > 0 and result.labels != "NOT checked"


def test_every_name_of_the_zoo_is_shipped() -> None:
    folder = config_file("yolox_tiny_8xb8-300e_coco").parents[1]
    assert set(zoo.CONFIGS) <= {file.stem for file in folder.glob("*/*.py")}
    assert len(set(zoo.CONFIGS)) == len(zoo.CONFIGS)
