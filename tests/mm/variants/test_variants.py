"""Names, configs and errors of variants; what each changes and what it leaves alone."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import FUNCTIONS

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods import dilate_stage
from fpnprobe.mm.detectors import build_detector, detector_config
from fpnprobe.mm.detectors.complexity import complexity
from fpnprobe.mm.detectors.stock import read_config
from fpnprobe.mm.inspect.check import check_model
from fpnprobe.mm.variants import apply_variant
from fpnprobe.study import load
from fpnprobe.variants import BUILT_IN_VARIANTS, RIVALS, VariantName, split_variant
from tests.mm.small import model_config

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


@pytest.mark.parametrize("form", ["mmdet", "matched"])
def test_dc5_has_one_level_with_all_anchor_sizes_of_the_pyramid(form: str) -> None:
    fpn, dc5 = model("retinanet"), apply_variant(model("retinanet"), "DC5", form=form)

    def sizes(config: ConfigDict) -> list[float]:
        levels = build_detector(config).bbox_head.prior_generator.base_anchors
        return sorted(float((b[2] - b[0]) * (b[3] - b[1])) for level in levels for b in level)

    assert sizes(fpn) == pytest.approx(sizes(dc5))
    assert len(dc5.bbox_head.anchor_generator.strides) == 1
    detector = build_detector(dc5)
    stages = detector.backbone(torch.zeros(1, 3, 64, 64))
    assert stages[3].shape[-2:] == stages[2].shape[-2:]
    width = fpn.neck.out_channels if form == "matched" else fpn.neck.in_channels[-1]
    assert [level.shape[1] for level in detector.neck(stages)] == [width]
    # one level has the candidates of five
    assert dc5.test_cfg.nms_pre == 5 * fpn.test_cfg.nms_pre


def leaves(config: Any, path: str = "") -> dict[str, Any]:
    """Every value of a config by its path."""
    if not isinstance(config, dict):
        return {path: config}
    inside: dict[str, Any] = {}
    for name, value in config.items():
        inside |= leaves(value, f"{path}.{name}".lstrip("."))
    return inside


def test_dc5_is_mmdets_own_key_by_key() -> None:
    """Of studies/figure1: apart from the stages that are given out for the probe."""
    ours = leaves(apply_variant(read_config("faster-rcnn_r50-caffe_fpn_1x_coco").model, "DC5"))
    mmdets = leaves(read_config("faster-rcnn_r50-caffe-dc5_1x_coco").model)
    assert ours.pop("backbone.out_indices") == (0, 1, 2, 3)
    assert mmdets.pop("backbone.out_indices") == (3,)
    neck = {name: ours.pop(name) for name in list(ours) if name.startswith("neck.")}
    assert (neck["neck.type"], neck["neck.out_channels"]) == ("LastStageNeck", None)
    assert ours == mmdets
    study = load(Path(__file__).parents[3] / "studies" / "figure1")
    assert study.detector["config"] == "faster-rcnn_r50-caffe_fpn_1x_coco"
    assert (study.variants[0].name, dict(study.variants[0].options)) == ("DC5", {})


def test_dc5_of_figure_3_differs_from_mmdets_in_depth_and_style_alone() -> None:
    ours = leaves(apply_variant(read_config("faster-rcnn_r101_fpn_1x_coco").model, "DC5"))
    mmdets = leaves(read_config("faster-rcnn_r50-caffe-dc5_1x_coco").model)
    style = ("backbone.", "neck.", "data_preprocessor.")
    for name in {*ours, *mmdets}:
        if not name.startswith(style):
            assert ours[name] == mmdets[name], name


def test_matched_dc5_has_as_many_candidates_as_all_levels() -> None:
    fpn, dc5 = model(), apply_variant(model(), "DC5", form="matched")
    for settings in ("train_cfg.rpn_proposal", "test_cfg.rpn"):
        own, plain = leaves(dc5), leaves(fpn)
        assert own[f"{settings}.nms_pre"] == 5 * plain[f"{settings}.nms_pre"]
        assert own[f"{settings}.max_per_img"] == plain[f"{settings}.max_per_img"]


def test_unknown_form_of_dc5_is_refused() -> None:
    with pytest.raises(FpnProbeError, match="expected mmdet or matched"):
        apply_variant(model(), "DC5", form="paper")


@pytest.mark.parametrize("variant", ["DC5", "DC5-AuxU", *RIVALS, "FPN-Dilated-Aux", "BiFPN-AuxU"])
@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet", "fcos"])
def test_controls_and_rivals_are_measured_exactly(framework: str, variant: str) -> None:
    """`check`: buckets sum to the gradient, and routes add up."""
    detector = build_detector(apply_variant(model_config(framework), variant))
    checked = check_model(detector, name=framework, classes=5, size=96, tolerance=1e-5)
    assert checked.ok, checked.to_dict()


def test_dilated_fpn_keeps_anchor_sizes_and_has_c5_at_the_stride_of_c4() -> None:
    plain, dilated = model("retinanet"), apply_variant(model("retinanet"), "FPN-Dilated")
    generators = [build_detector(each).bbox_head.prior_generator for each in (plain, dilated)]
    for own, other in zip(*(each.base_anchors for each in generators), strict=True):
        torch.testing.assert_close(own[:, 2:] - own[:, :2], other[:, 2:] - other[:, :2])
    detector = build_detector(dilated)
    image = torch.zeros(1, 3, 128, 128)
    levels = detector.neck(detector.backbone(image))
    strides = [128 // level.shape[-1] for level in levels]
    assert strides == [4, 8, 16, 16, 32] == [s[0] for s in generators[1].strides]


def test_simo_reads_c5_alone_and_bifpn_every_stage() -> None:
    shapes = ((8, 32), (16, 16), (32, 8), (64, 4))
    stages = [torch.randn(2, c, side, side, requires_grad=True) for c, side in shapes]
    for variant, reached in (("SiMo", [False, False, False, True]), ("BiFPN", [True] * 4)):
        neck = build_detector(apply_variant(model(), variant)).neck
        levels = neck(stages)
        assert [level.shape[-1] for level in levels] == [32, 16, 8, 4, 2]
        total = torch.stack([level.square().sum() for level in levels]).sum()
        gradients = torch.autograd.grad(total, stages, allow_unused=True)
        assert [gradient is not None for gradient in gradients] == reached


@pytest.mark.parametrize("variant", RIVALS)
def test_rivals_keep_levels_that_start_at_c3(variant: str) -> None:
    config = detector_config({"config": "retinanet_r18_fpn_1x_coco"}, 5)
    config.neck.out_channels = config.bbox_head.in_channels = 16
    detector = build_detector(apply_variant(config, variant))
    stages = [torch.randn(2, c, s, s) for c, s in ((64, 32), (128, 16), (256, 8), (512, 4))]
    if variant == "FPN-Dilated":
        stages[-1] = torch.randn(2, 512, 8, 8)
    sizes = [level.shape[-1] for level in detector.neck(stages)]
    assert sizes == ([16, 8, 8, 4, 2] if variant == "FPN-Dilated" else [16, 8, 4, 2, 1])


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
