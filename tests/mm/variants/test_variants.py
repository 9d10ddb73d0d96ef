"""Names, configs and errors of variants; what each changes and what it leaves alone."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import FUNCTIONS

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods import dilate_stage
from fpnprobe.mm.detectors import build_detector, detector_config
from fpnprobe.mm.detectors.complexity import complexity
from fpnprobe.mm.variants import apply_variant
from fpnprobe.variants import BUILT_IN_VARIANTS, VariantName, split_variant

SPEC = {"width": 8, "channels": 16, "hidden": 16, "size": 64}


def model(framework: str = "faster_rcnn", **spec: Any) -> ConfigDict:
    return detector_config({**SPEC, "framework": framework, **spec}, 5)


@pytest.mark.parametrize("name", BUILT_IN_VARIANTS)
@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
def test_every_variant_of_the_small_detectors_builds_and_predicts(
    name: str, framework: str
) -> None:
    given = model(framework)
    before = copy.deepcopy(given)
    detector = build_detector(apply_variant(given, name))
    assert given == before, "the given config was changed"
    facts = complexity(detector, size=(64, 64))
    assert facts["parameters"] == sum(p.numel() for p in detector.parameters())
    assert facts["parameters"] == sum(part["parameters"] for part in facts["modules"].values())
    assert (facts["predicting"] < facts["parameters"]) == ("Aux" in name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("DC5-AuxU", ("DC5", "AuxU", 0)),
        ("FPN", ("FPN", "", 0)),
        ("FPN-CFG2-Aux", ("FPN-CFG2", "Aux", 2)),
        ("FPN-Wide-AuxU", ("FPN-Wide", "AuxU", 0)),
        ("FPN-Wide1", ("FPN-Wide1", "", 0)),
    ],
)
def test_names_are_a_pyramid_and_its_supervision(name: str, parts: tuple[Any, ...]) -> None:
    parsed = VariantName.parse(name)
    assert (parsed.pyramid, parsed.supervision, parsed.grouping_stages) == parts


@pytest.mark.parametrize(
    ("name", "near"),
    [("FPN-CFG", "FPN-CFG1"), ("fpn-auxu", "FPN-AuxU"), ("FPN-CFG0", "FPN-CFG1"), ("DC6", "DC5")],
)
def test_unknown_names_are_errors_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(FpnProbeError, match=f"unknown variant '{name}': did you mean .*{near}"):
        apply_variant(model(), name)


def test_interventions_are_split_off_and_not_built() -> None:
    assert split_variant("FPN-CFG1~cut-direct") == ("FPN-CFG1", "cut-direct")
    with pytest.raises(FpnProbeError, match="half a name"):
        split_variant("FPN~")
    with pytest.raises(FpnProbeError, match="intervention"):
        apply_variant(model(), "FPN~cut-direct")


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("FPN", {"tau": 0.1}, "does not take the options tau"),
        ("FPN-Aux", {"tau": 0.1}, "does not take the options tau"),
        ("DC5", {"softmax": True}, "does not take the options softmax"),
        ("FPN-CFG1", {"width_": 64}, "no option 'width_'"),
        ("FPN-CFG1", {"stages": 2}, "has its stages in its name"),
        ("FPN-Wide1", {"stages": 2}, "has its stages in its name"),
        ("FPN-Aux", {"auxiliary_stages": (6,)}, "backbone has C2..C5"),
        ("FPN-AuxU", {"tau": -1}, "expected a loss value >= 0"),
    ],
)
def test_options_that_do_not_exist_are_errors(
    name: str, options: dict[str, Any], part: str
) -> None:
    with pytest.raises(FpnProbeError, match=part):
        apply_variant(model(), name, **options)


def test_all_options_are_written_out_with_their_values() -> None:
    config = apply_variant(model(), "FPN-CFG2-AuxU", bottleneck=8, tau=0.25)
    assert (config.neck.bottleneck, config.neck.finer, config.neck.combine) == (8, "max", "sum")
    assert config.neck.stages == 2
    assert config.auxiliary_heads["3"].uncertainty == {
        "tau": 0.25,
        "bias": 0.0,
        "granularity": "prediction",
        "coefficient": "capped",
    }


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"neck": ConfigDict(type="PAFPN")}, "neck is 'PAFPN'"),
        ({"neck": [ConfigDict(type="FPN")]}, "a list of necks"),
        ({"neck": None}, "has no 'neck'"),
        ({"backbone": ConfigDict(type="SwinTransformer")}, "no dilated form"),
    ],
)
def test_detectors_without_the_parts_are_errors(change: dict[str, Any], part: str) -> None:
    with pytest.raises(FpnProbeError, match=part):
        apply_variant({**model(), **change}, "DC5")


def test_dc5_has_one_level_with_all_anchor_sizes_of_the_pyramid() -> None:
    fpn, dc5 = model("retinanet"), apply_variant(model("retinanet"), "DC5")

    def sizes(config: ConfigDict) -> list[float]:
        levels = build_detector(config).bbox_head.prior_generator.base_anchors
        return sorted(float((b[2] - b[0]) * (b[3] - b[1])) for level in levels for b in level)

    assert sizes(fpn) == pytest.approx(sizes(dc5))
    assert len(dc5.bbox_head.anchor_generator.strides) == 1
    detector = build_detector(dc5)
    stages = detector.backbone(torch.zeros(1, 3, 64, 64))
    assert stages[3].shape[-2:] == stages[2].shape[-2:]
    assert [level.shape[1] for level in detector.neck(stages)] == [fpn.neck.out_channels]


def test_dc5_backbone_is_the_plain_one_with_a_dilated_stage() -> None:
    fpn = build_detector(model()).eval()
    dc5 = build_detector(apply_variant(model(), "DC5")).eval()
    dc5.backbone.load_state_dict(fpn.backbone.state_dict())
    dilate_stage(fpn.backbone.layer4)
    image = torch.randn(1, 3, 64, 64)
    for ours, plain in zip(dc5.backbone(image), fpn.backbone(image), strict=True):
        torch.testing.assert_close(ours, plain)


def test_dc5_of_lite0_takes_the_output_stride() -> None:
    config = apply_variant(model(backbone="lite0"), "DC5")
    assert config.backbone.output_stride == 16


@pytest.fixture
def own_pyramid() -> Iterator[str]:
    def my_pyramid(config: ConfigDict, *, scale: float = 1.0) -> ConfigDict:
        config.neck.add_extra_convs = False
        config.note = scale
        return config

    FUNCTIONS.register_module(name="MyPyramid", module=my_pyramid)
    yield "MyPyramid"
    del FUNCTIONS.module_dict["MyPyramid"]


def test_a_pyramid_of_ones_own_combines_with_auxiliary_heads(own_pyramid: str) -> None:
    config = apply_variant(model(), f"{own_pyramid}-AuxU", scale=2.0, tau=0.1)
    assert (config.note, config.type, config.detector) == (2.0, "AuxiliaryDetector", "FasterRCNN")
    with pytest.raises(FpnProbeError, match="MyPyramid"):
        apply_variant(model(), "MyPyramit")
