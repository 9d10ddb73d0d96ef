"""Attribution of Sparse R-CNN: a query's logit against mmdet's own forward pass and autograd."""

from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from torch import Tensor

from fpnprobe.attribution.chain import Chain
from fpnprobe.mm.inspect.attribution import build_chain
from fpnprobe.mm.inspect.attribution.explain import explain, targets_of
from fpnprobe.mm.inspect.attribution.image import DetectorImage
from fpnprobe.mm.inspect.attribution.target import Target
from tests.mm import attributed
from tests.mm.adapters import frameworks

BUCKETS = attributed.BUCKETS


@pytest.fixture(scope="module")
def made() -> tuple[Any, Chain, DetectorImage]:
    detector, image = frameworks.tiny("sparse_rcnn").eval(), attributed.image()
    with torch.no_grad():  # mmdet starts a class at 1 %: spread them
        for head in detector.roi_head.bbox_head:
            head.fc_cls.weight.normal_(generator=torch.Generator().manual_seed(2))
    return detector, build_chain(detector, image.pixels), image


def own_logits(detector: Any, pyramid: Any, meta: dict[str, Any]) -> Tensor:
    """Logits of the last stage, `(N, classes)`, as mmdet computes them, with their graph."""
    (given,) = detector.rpn_head.predict(pyramid, [DetDataSample(metainfo=meta)])
    boxes, features, found = given.bboxes, given.features[None], {}
    for stage in range(detector.roi_head.num_stages):
        found = detector.roi_head._bbox_forward(stage, pyramid, bbox2roi([boxes]), features, [meta])
        boxes, features = found["detached_proposals"][0], found["object_feats"]
    logits: Tensor = found["cls_score"][0]
    return logits


def query_of(target: Target) -> int:
    return int(target.sources[0, 0])


def test_detections_are_those_of_the_detector_best_first(made: Any) -> None:
    detector, chain, image = made
    found = image.detections(chain)
    with torch.no_grad():
        sample = DetDataSample(metainfo=dict(image.meta))
        expected = detector.predict(image.pixels, [sample], rescale=False)[0].pred_instances
    order = expected.scores.argsort(descending=True, stable=True)
    assert 0 < len(found) == len(expected)
    scores = [target.score for target in found]
    assert scores == pytest.approx(expected.scores[order].tolist(), rel=1e-5)
    assert scores == sorted(scores, reverse=True)
    torch.testing.assert_close(torch.stack([t.box for t in found]), expected.bboxes[order])
    assert [int(t.labels) for t in found] == expected.labels[order].tolist()


@pytest.mark.parametrize("kind", ["detection", "object"])
def test_a_query_logit_and_its_gradient_are_the_detectors_own(kind: Any, made: Any) -> None:
    detector, chain, image = made
    targets = targets_of(chain, image, kind=kind, buckets=BUCKETS)[:4]
    found = explain(chain, image, targets=targets, method="activation_x_gradient", at="pyramid")
    leaves = [x.requires_grad_() for x in chain.features(image.pixels, "pyramid")]
    logits = own_logits(detector, tuple(leaves), image.meta)
    for i, target in enumerate(targets):
        logit = logits[query_of(target), target.labels[0]]
        torch.testing.assert_close(found.maps.value[i], logit.detach(), rtol=1e-4, atol=1e-5)
        if kind == "detection":
            assert float(logit.detach().sigmoid()) == pytest.approx(target.score, rel=1e-4)
        gradients = torch.autograd.grad(logit, leaves, retain_graph=True, allow_unused=True)
        for tensor, x, g in zip(found.maps.tensors, leaves, gradients, strict=True):
            expected = (x * (torch.zeros_like(x) if g is None else g)).detach()[0]
            scale = max(float(expected.abs().max()), 1e-6)
            assert (tensor[i] - expected).abs().max() / scale < 1e-4


def test_each_object_has_a_query_of_its_own(made: Any) -> None:
    _, chain, image = made
    targets = targets_of(chain, image, buckets=BUCKETS)
    assert [target.index for target in targets] == [0, 1, 2, 3]
    assert len({query_of(target) for target in targets}) == 4
    assert {target.level for target in targets} <= set(chain.levels("pyramid"))


def test_examples_of_a_batch_do_not_mix(made: Any) -> None:
    _, chain, image = made
    targets = targets_of(chain, image, buckets=BUCKETS)
    pyramid = chain.features(image.pixels, "pyramid")
    two = tuple(torch.cat([level, level.flip(-1)]) for level in pyramid)
    sources = torch.cat([target.sources for target in targets[:2]])
    labels = torch.cat([target.labels for target in targets[:2]])
    readout: Any = chain.readout
    with torch.no_grad():
        both = readout.logits(two, torch.tensor([0, 1]), sources, labels)
        alone = [
            readout.logits(
                tuple(level[i : i + 1] for level in two), torch.tensor([0]), sources[i : i + 1],
                labels[i : i + 1],
            )
            for i in (0, 1)
        ]  # fmt: skip
    torch.testing.assert_close(both, torch.cat(alone), rtol=1e-4, atol=1e-5)
