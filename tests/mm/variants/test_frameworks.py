"""Every framework of Tables 3 and 4 in every variant: builds, trains with finite loss, predicts."""

import math

import pytest
import torch
from mmengine.config import ConfigDict

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.detectors import build_detector, detector_config
from fpnprobe.mm.inspect.attribution import build_chain
from fpnprobe.mm.inspect.attribution.image import DetectorImage
from fpnprobe.mm.inspect.check import check_model
from fpnprobe.mm.inspect.feature_maps import extract
from fpnprobe.mm.inspect.generated_batch import generated_batch
from fpnprobe.mm.variants import apply_variant

CLASSES = 5
BOUNDS = (32.0**2, 96.0**2)
TOLERANCE = 1e-5
SIZE = 96
FRAMEWORKS = {
    "retinanet": "retinanet_r101_fpn_1x_coco",
    "free_anchor": "freeanchor_r101_fpn_1x_coco",
    "atss": "atss_r101_fpn_1x_coco",
    "faster_rcnn": "faster-rcnn_r101_fpn_1x_coco",
    "mask_rcnn": "mask-rcnn_r101_fpn_1x_coco",
    "cascade_rcnn": "cascade-rcnn_r101_fpn_1x_coco",
    "cascade_mask_rcnn": "cascade-mask-rcnn_r101_fpn_1x_coco",
    "fcos": "fcos_r50-caffe_fpn_gn-head_1x_coco",
    "sparse_rcnn": "sparse-rcnn_r50_fpn_1x_coco",
    "fsaf": "fsaf_r101_fpn_1x_coco",
    "mask_rcnn_swin": "mask-rcnn_swin-t-p4-w7_fpn_1x_coco",
    "cascade_mask_rcnn_x101": "cascade-mask-rcnn_x101-64x4d_fpn_ms-3x_coco",
}
VARIANTS = ("FPN", "FPN-Aux", "FPN-AuxU", "FPN-CFG1", "FPN-CFG3", "FPN-Wide", "FPN-Wide1")
# One of each head family and of each kind of variant; the whole matrix is slow.
SAMPLE = [
    ("retinanet", "FPN-AuxU"),
    ("free_anchor", "FPN-AuxU"),
    ("atss", "FPN-AuxU"),
    ("fcos", "FPN-CFG1"),
    ("fsaf", "FPN-AuxU"),
    ("faster_rcnn", "FPN-CFG3"),
    ("cascade_rcnn", "FPN-AuxU"),
    ("mask_rcnn_swin", "FPN-Wide"),
    ("faster_rcnn", "FPN-Wide1"),
    ("sparse_rcnn", "FPN-Aux"),
]
MATRIX = [
    pytest.param(
        framework, variant, marks=[] if (framework, variant) in SAMPLE else pytest.mark.slow
    )
    for framework in FRAMEWORKS
    for variant in VARIANTS
]


def shrunk(framework: str) -> ConfigDict:
    """The stock config of a framework with a small backbone, box heads and few RoIs."""
    model = detector_config({"config": FRAMEWORKS[framework]}, num_classes=CLASSES)
    if model.backbone.type == "SwinTransformer":
        model.backbone.depths = [1, 1, 1, 1]
    else:
        model.backbone.depth = 50 if model.backbone.type == "ResNeXt" else 18
        if model.backbone.depth == 18:
            model.neck.in_channels = [64, 128, 256, 512]
    if "roi_head" in model and model.train_cfg.get("rpn"):
        for head in _listed(model.roi_head.bbox_head):
            head.fc_out_channels = 64
        for part in _listed(model.train_cfg.rcnn):
            part.sampler.num = 32
    if framework == "sparse_rcnn":
        model.rpn_head.num_proposals = 20
    return model


def _listed(part: ConfigDict | list[ConfigDict]) -> list[ConfigDict]:
    return part if isinstance(part, list) else [part]


# mmdet refines the boxes of cascades with masks by `new_tensor` of a tensor.
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")
@pytest.mark.filterwarnings("ignore:DeprecationWarning. `num_anchors`:UserWarning")  # mmdet's ATSS
@pytest.mark.parametrize(("framework", "variant"), MATRIX)
def test_builds_trains_is_measured_exactly_and_predicts(framework: str, variant: str) -> None:
    options = {"bottleneck": 16} if "CFG" in variant or "Wide" in variant else {}
    detector = build_detector(apply_variant(shrunk(framework), variant, **options))
    checked = check_model(detector, name=framework, classes=CLASSES, size=SIZE, tolerance=TOLERANCE)
    assert checked.ok, checked.to_dict()
    auxiliary = {"aux2", "aux3", "aux4"} if "Aux" in variant else set()
    assert auxiliary == {term for term in checked.terms if term.startswith("aux")}

    batch = generated_batch(size=SIZE, classes=CLASSES, bounds=list(BOUNDS), seed=0)
    data = detector.data_preprocessor(batch, training=True)
    parameters = [p for p in detector.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1e-4)
    for _ in range(3):
        loss, _ = detector.parse_losses(detector(**data, mode="loss"))
        assert math.isfinite(loss.item())
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in parameters), "a parameter that no loss reaches"
        optimizer.step()
    detector.eval()
    with torch.no_grad():
        predicted = detector(**data, mode="predict")
    assert all("scores" in sample.pred_instances for sample in predicted)

    sample = {key: values[0] for key, values in batch.items()}
    image = DetectorImage.of(detector, sample)
    chain = build_chain(detector, image.pixels, with_readout=False)
    maps = extract(chain, image, thumbnail=sample["inputs"]).maps
    assert {"C5", "P3", "P4", "P5"} <= set(maps)
    with pytest.raises(FpnProbeError, match="reads no logits"):
        chain(image.pixels, torch.zeros(1))
