"""Detections with their sources, and their logits against mmdet and torchvision."""

from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import roi_align

from fpnprobe.attribution.captum_methods import METHODS
from fpnprobe.attribution.chain import Chain
from fpnprobe.attribution.sanity import randomization
from fpnprobe.attribution.words import Place
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.inspect.attribution import build_chain
from fpnprobe.mm.inspect.attribution.assign_priors import assigned_objects
from fpnprobe.mm.inspect.attribution.explain import explain, targets_of
from fpnprobe.mm.inspect.attribution.image import DetectorImage
from fpnprobe.mm.inspect.attribution.target import Target
from fpnprobe.mm.variants import apply_variant
from tests.mm import attributed, small

TWO_STAGE = ("faster_rcnn", "dc5", "no_neck", "cascade_rcnn")
DENSE = ("retinanet", "fcos", "atss")
BUCKETS = attributed.BUCKETS

# mmdet's FCOS calls meshgrid in the old way
pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[Any, Chain, DetectorImage]]:
    return {name: attributed.chain(name) for name in (*TWO_STAGE, *DENSE)}


@pytest.mark.parametrize("name", [*TWO_STAGE, *DENSE])
def test_detections_are_those_of_the_detector(name: str, made: Any) -> None:
    detector, chain, image = made[name]
    found = image.detections(chain)
    with torch.no_grad():
        sample = DetDataSample(metainfo=dict(image.meta))
        expected = detector.predict(image.pixels, [sample], rescale=False)[0].pred_instances
    assert 0 < len(found) == len(expected)
    torch.testing.assert_close(torch.stack([t.box for t in found]), expected.bboxes)
    assert [t.score for t in found] == pytest.approx(expected.scores.tolist(), rel=1e-5)
    assert [int(t.labels) for t in found] == expected.labels.tolist()
    assert [t.index for t in found] == list(range(len(found)))


def twin_roi_logit(detector: Any, pyramid: Any, target: Target, strides: list[int]) -> Tensor:
    """RoIAlign by torchvision at the level of the paper of FPN (Eq. 1), then the head."""
    extractor = detector.roi_head.bbox_roi_extractor
    (x0, y0, x1, y1) = target.sources[0].tolist()
    scale = ((x1 - x0) * (y1 - y0)) ** 0.5
    levels = extractor.num_inputs
    level = 0
    while level < levels - 1 and scale >= extractor.finest_scale * 2 ** (level + 1):
        level += 1
    pooled = roi_align(
        pyramid[level],
        [target.sources],
        7,
        spatial_scale=1 / strides[level],
        sampling_ratio=extractor.roi_layers[0].sampling_ratio,
        aligned=True,
    )
    logit: Tensor = detector.roi_head.bbox_head(pooled)[0][0, target.labels[0]]
    return logit


@pytest.mark.parametrize("kind", ["detection", "object"])
def test_a_roi_logit_is_roi_align_then_the_head(kind: Any, made: Any) -> None:
    detector, chain, image = made["faster_rcnn"]
    targets = targets_of(chain, image, kind=kind, buckets=BUCKETS)
    found = explain(chain, image, targets=targets, method="activation_x_gradient", at="pyramid")
    pyramid = chain.features(image.pixels, "pyramid")
    for i, target in enumerate(targets):
        with torch.no_grad():
            expected = twin_roi_logit(detector, pyramid, target, [4, 8, 16, 32])
        torch.testing.assert_close(found.maps.value[i], expected, rtol=1e-4, atol=1e-5)
        assert found.maps.levels[int(found.maps.shares()[i].argmax())] == target.level
        assert found.maps.shares()[i].max() == 1  # one RoI is pooled from one level


def test_a_prior_logit_is_the_score_of_the_detection(made: Any) -> None:
    _, chain, image = made["retinanet"]
    targets = image.detections(chain)
    found = explain(chain, image, targets=targets, method="activation_x_gradient", at="pyramid")
    scores = torch.tensor([t.score for t in targets])
    torch.testing.assert_close(found.maps.value.sigmoid(), scores, rtol=1e-4, atol=1e-6)
    for i, target in enumerate(targets):
        assert found.maps.levels[int(found.maps.shares()[i].argmax())] == target.level


@pytest.mark.parametrize("name", ["fcos", "atss"])
def test_a_prior_logit_times_its_quality_is_the_score(name: str, made: Any) -> None:
    detector, chain, image = made[name]
    targets = image.detections(chain)
    found = explain(chain, image, targets=targets, method="activation_x_gradient", at="pyramid")
    with torch.no_grad():
        quality = detector.bbox_head(chain.features(image.pixels, "pyramid"))[2]
    flat = torch.cat([q.permute(0, 2, 3, 1).flatten() for q in quality]).sigmoid()
    expected = found.maps.value.sigmoid() * flat[[int(t.sources) for t in targets]]
    torch.testing.assert_close(
        expected, torch.tensor([t.score for t in targets]), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("at", ["stages", "pyramid"])
@pytest.mark.parametrize("name", ["faster_rcnn", "retinanet"])
def test_gradient_methods_equal_autograd(name: str, at: Place, made: Any) -> None:
    """No captum, no tap, no readout: the detector's own modules and torch.autograd.grad."""
    detector, chain, image = made[name]
    (target,) = targets_of(chain, image, index=1, buckets=BUCKETS)
    with torch.no_grad():
        stages = detector.backbone(image.pixels)
        start = stages if at == "stages" else detector.neck(stages)
    leaves = [level.clone().requires_grad_() for level in start]
    pyramid = detector.neck(tuple(leaves)) if at == "stages" else leaves
    if name == "faster_rcnn":
        logit = twin_roi_logit(detector, pyramid, target, [4, 8, 16, 32])
    else:
        scores = detector.bbox_head(tuple(pyramid))[0]
        classes = detector.bbox_head.cls_out_channels
        flat = torch.cat([s.permute(0, 2, 3, 1).reshape(-1, classes) for s in scores])
        logit = flat[target.sources[0], target.labels[0]]
    grads = torch.autograd.grad(logit, leaves, allow_unused=True)
    for method in ("activation_x_gradient", "grad_cam"):
        maps = explain(chain, image, targets=[target], method=method, at=at).maps
        for tensor, x, g in zip(maps.tensors, leaves, grads, strict=True):
            g = torch.zeros_like(x) if g is None else g
            expected = x * g
            if method == "grad_cam":
                expected = (x * g.mean((2, 3), keepdim=True)).sum(1, keepdim=True)
            scale = max(float(expected.detach().abs().max()), 1e-6)
            assert (tensor - expected.detach()).abs().max() / scale < 1e-5


@pytest.mark.parametrize("name", ["faster_rcnn", "dc5", "no_neck", "cascade_rcnn", "retinanet"])
def test_integrated_gradients_are_complete(name: str, made: Any) -> None:
    _, chain, image = made[name]
    targets = targets_of(chain, image, buckets=BUCKETS)
    for at in chain.places():
        found = explain(chain, image, targets=targets, at=at, buckets=BUCKETS)
        assert (found.maps.value - found.maps.reference).abs().min() > 1e-3
        assert found.maps.residual().max() < 0.01
    assert {*found.buckets} == {"small", "medium", "large"}


def test_all_methods_give_shares_for_a_dense_head(made: Any) -> None:
    _, chain, image = made["fcos"]
    targets = targets_of(chain, image, kind="detection", index=0, buckets=BUCKETS)
    for method in METHODS:
        found = explain(chain, image, targets=targets, method=method, at="stages", steps=8)
        frame = found.to_pandas()
        assert frame["share"].sum() == pytest.approx(1)
        assert frame["level"].tolist() == ["C2", "C3", "C4", "C5"]


@pytest.mark.parametrize("name", DENSE)
def test_assigned_priors_are_the_positives_of_training(name: str, made: Any) -> None:
    """Every object has a class of its own, so the head's own class targets name the object."""
    detector, chain, image = made[name]
    head = detector.bbox_head
    with torch.no_grad():
        outputs = head(chain.features(image.pixels, "pyramid"))
    sizes = [each.shape[-2:] for each in outputs[0]]
    owner = assigned_objects(head, sizes, boxes=image.boxes, labels=image.labels)
    objects = [InstanceData(bboxes=image.boxes, labels=image.labels)]
    if name == "fcos":
        points = head.prior_generator.grid_priors(sizes, device="cpu")
        labels = head.get_targets(points, objects)[0]
    else:
        anchors, valid = head.get_anchors(sizes, [dict(image.meta)], device="cpu")
        targets = head.get_targets(anchors, valid, objects, [dict(image.meta)])
        labels = targets[1] if name == "atss" else targets[0]
    flat = torch.cat([each.flatten() for each in labels])
    expected = torch.where(flat < len(image.boxes), flat, -1)
    inside = owner >= 0
    assert inside.any()
    torch.testing.assert_close(owner[inside], expected[inside])
    assert (expected >= 0).sum() == inside.sum()


def test_a_bucket_is_the_sum_of_its_objects(made: Any) -> None:
    _, chain, image = made["faster_rcnn"]
    options: dict[str, Any] = {
        "method": "activation_x_gradient",
        "at": "pyramid",
        "buckets": BUCKETS,
    }
    objects = explain(chain, image, targets=targets_of(chain, image, buckets=BUCKETS), **options)
    buckets = targets_of(chain, image, kind="bucket", buckets=BUCKETS)
    found = explain(chain, image, targets=buckets, **options)
    assert found.buckets == ("small", "medium", "large")
    assert objects.buckets == ("small", "medium", "small", "large")
    for k in range(len(found.maps.levels)):
        torch.testing.assert_close(
            found.maps.tensors[k][0],
            objects.maps.tensors[k][0] + objects.maps.tensors[k][2],
            rtol=1e-4,
            atol=1e-5,
        )
    assert found.maps.value[0] == pytest.approx(float(objects.maps.value[[0, 2]].sum()), rel=1e-4)


def test_a_detection_has_the_bucket_of_the_object_it_shows(made: Any) -> None:
    _, chain, image = made["faster_rcnn"]
    target = targets_of(chain, image, kind="detection", index=0, buckets=BUCKETS)[0]
    shown = Target("detection", 0, target.sources, torch.tensor([3]), image.boxes[3] + 2, "P2")
    other = Target("detection", 0, target.sources, torch.tensor([2]), image.boxes[3] + 2, "P2")
    assert image.area_of(shown) == float(image.areas[3])
    assert image.area_of(other) is None


def test_shuffled_weights_change_the_maps_of_a_detector(made: Any) -> None:
    _, chain, image = made["faster_rcnn"]
    chain.readout.targets = targets_of(chain, image, buckets=BUCKETS)
    found = randomization(
        chain,
        image=image.pixels,
        ids=torch.arange(4),
        methods=["integrated_gradients", "grad_cam"],
        at="stages",
        steps=8,
    )
    chain.readout.targets = []
    assert found["rank_correlation"].mean() < 0.8
    assert (found["cells"] > 10).all()


def test_names_of_levels(made: Any) -> None:
    def names(name: str) -> dict[str, tuple[str, ...]]:
        return dict(made[name][1].names)

    stages = ("C2", "C3", "C4", "C5")
    five = ("P2", "P3", "P4", "P5", "P6")
    assert names("faster_rcnn") == {"stages": stages, "pyramid": five}
    assert names("dc5") == {"stages": stages, "pyramid": ("P5",)}
    assert names("no_neck") == {"stages": ("C5",)}


def test_only_c5_carries_a_detection_of_dc5(made: Any) -> None:
    _, chain, image = made["dc5"]
    found = explain(chain, image, targets=targets_of(chain, image, buckets=BUCKETS), at="stages")
    assert (found.maps.shares()[:, :3] == 0).all()


@pytest.mark.parametrize("variant", ["FPN-AuxU", "FPN-CFG2"])
def test_variants_of_the_paper_are_attributed(variant: str) -> None:
    """Auxiliary heads play no part in a detection; a grouping pyramid reads all stages."""
    config = apply_variant(small.model_config("faster_rcnn"), variant)
    image = attributed.image()
    chain = build_chain(build_detector(config, seed=0).eval(), image.pixels)
    targets = targets_of(chain, image, buckets=BUCKETS)
    found = explain(chain, image, targets=targets, at="stages", steps=16, buckets=BUCKETS)
    assert found.maps.residual().max() < 0.01
    large = found.maps.shares()[3]  # pooled from P5, which an FPN builds from C5 alone
    assert found.targets[3].level == "P5"
    assert (large > 0.05).all() if "CFG" in variant else large.tolist() == [0, 0, 0, 1]


def test_a_detector_without_a_pyramid(made: Any) -> None:
    _, chain, image = made["no_neck"]
    with pytest.raises(FpnProbeError, match=r"has no pyramid.*expected one of stages"):
        explain(chain, image, targets=targets_of(chain, image, buckets=BUCKETS), at="pyramid")


def test_unknown_heads_are_named(made: Any) -> None:
    detector, _, image = made["retinanet"]
    head = detector.bbox_head
    try:
        detector.bbox_head = torch.nn.Linear(1, 1)
        with pytest.raises(FpnProbeError, match=r"no pyramid that its head describes|Linear"):
            build_chain(detector, image.pixels)
        detector.bbox_head = None
        with pytest.raises(FpnProbeError, match="head"):
            build_chain(detector, image.pixels)
    finally:
        detector.bbox_head = head
    with pytest.raises(FpnProbeError, match="Linear has no backbone"):
        build_chain(torch.nn.Linear(1, 1), image.pixels)


def test_no_detection_and_no_such_target(made: Any) -> None:
    detector, chain, image = made["retinanet"]
    with pytest.raises(FpnProbeError, match=r"detection 99 of image 7 does not exist: .* 0 to 11"):
        targets_of(chain, image, kind="detection", index=99)
    with pytest.raises(FpnProbeError, match=r"object 4 of image 7 does not exist: .* 0 to 3"):
        targets_of(chain, image, index=4)
    with pytest.raises(FpnProbeError, match="unknown bucket 'huge'"):
        targets_of(chain, image, kind="bucket", bucket="huge")
    threshold = detector.bbox_head.test_cfg.score_thr
    try:
        detector.bbox_head.test_cfg.score_thr = 2.0
        with pytest.raises(FpnProbeError, match="has no detections above"):
            targets_of(chain, image, kind="detection", index=0)
    finally:
        detector.bbox_head.test_cfg.score_thr = threshold


def test_nothing_is_left_behind(made: Any) -> None:
    detector, chain, image = made["faster_rcnn"]
    targets = targets_of(chain, image, buckets=BUCKETS)
    for method in METHODS:
        explain(chain, image, targets=targets, method=method, at="pyramid", steps=4)
        with pytest.raises(FpnProbeError):
            explain(chain, image, targets=[], method=method, at="pyramid", steps=4)
    assert small.hooks_left(detector) == 0
    assert small.hooks_left(chain) == 0
    assert chain.readout.targets == []
    assert all(p.grad is None for p in detector.parameters())
    assert any(p.requires_grad for p in detector.parameters())
