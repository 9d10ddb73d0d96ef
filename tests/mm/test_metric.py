"""The metric gives mmdet's numbers from mmdet's predictions, and keeps what `compare` needs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS
from mmengine.structures import InstanceData

import fpnprobe.mm  # noqa: F401
from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation import evaluate
from fpnprobe.evaluation.generated import as_documents, generate

# pycocotools decodes masks through numpy 1's __array__ signature
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
THEIRS = {
    "mAP": "AP", "mAP_50": "AP_50", "mAP_75": "AP_75", "mAP_s": "AP_S", "mAP_m": "AP_M",
    "mAP_l": "AP_L",
}  # fmt: skip


@pytest.fixture(scope="module")
def data() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Objects with rectangular masks; category ids that are no class indices."""
    annotations, results = as_documents(*generate(images=12, categories=3, skill=0.9, detections=9))
    for entry in annotations["annotations"]:
        x, y, w, h = entry["bbox"]
        entry["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        entry["category_id"] *= 10
    for entry in annotations["categories"]:
        entry["id"] *= 10
    return annotations, [{**r, "category_id": 10 * r["category_id"]} for r in results]


@pytest.fixture(scope="module")
def ann_file(data: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("coco") / "val.json"
    file.write_text(json.dumps(data[0]))
    return str(file)


def samples(results: list[dict[str, Any]], images: int, *, masks: bool) -> list[dict[str, Any]]:
    """mmdet's data samples, as the evaluator hands them on."""
    found = []
    for image in range(1, images + 1):
        rows = [r for r in results if r["image_id"] == image]
        boxes = torch.tensor([r["bbox"] for r in rows], dtype=torch.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        instances = InstanceData(
            bboxes=boxes,
            scores=torch.tensor([r["score"] for r in rows], dtype=torch.float64),
            labels=torch.tensor([r["category_id"] // 10 - 1 for r in rows], dtype=torch.long),
        )
        if masks:
            filled = torch.zeros(len(rows), 640, 640, dtype=torch.bool)
            for k, (x, y, u, v) in enumerate(boxes.clamp(0, 640).round().long().tolist()):
                filled[k, y : max(v, y + 1), x : max(u, x + 1)] = True
            instances.masks = filled
        found.append(
            {"img_id": image, "ori_shape": (640, 640), "pred_instances": instances.to_dict()}
        )
    return found


def run(metric: dict[str, Any], results: Any, *, masks: bool = False, classes: Any = None) -> Any:
    evaluator = Evaluator(METRICS.build(metric))
    evaluator.dataset_meta = {"classes": classes or ("kind 1", "kind 2", "kind 3")}
    rows = samples(results, 12, masks=masks)
    for low in range(0, 12, 5):
        evaluator.process(data_samples=rows[low : low + 5])
    return evaluator.evaluate(12)


def test_boxes_and_masks_equal_mmdets_own_metric(data: Any, ann_file: str) -> None:
    ours = run(
        {"type": "SizeBucketMetric", "ann_file": ann_file, "iou_type": ["bbox", "segm"]},
        data[1], masks=True,
    )  # fmt: skip
    theirs = run(
        {"type": "mmdet.CocoMetric", "ann_file": ann_file, "metric": ["bbox", "segm"]},
        data[1], masks=True,
    )  # fmt: skip
    for kind in ("bbox", "segm"):
        assert ours[f"coco/{kind}_AP"] > 0.1
        for their_name, name in THEIRS.items():
            expected = theirs[f"coco/{kind}_{their_name}"]
            got = ours[f"coco/{kind}_{name}"]
            assert expected == pytest.approx(got, abs=6e-4) or (expected == -1 and np.isnan(got))


def test_kept_detections_give_the_same_numbers(data: Any, ann_file: str, tmp_path: Path) -> None:
    file = tmp_path / "found.json.gz"
    found = run({"type": "SizeBucketMetric", "ann_file": ann_file, "out_file": str(file)}, data[1])
    for name, value in evaluate(ann_file, file).metrics.items():
        np.testing.assert_allclose(found[f"coco/bbox_{name}"], value, atol=1e-12)
    for name, value in evaluate(*data).metrics.items():
        np.testing.assert_allclose(found[f"coco/bbox_{name}"], value, atol=1e-3)


def test_own_buckets(data: Any, ann_file: str) -> None:
    found = run(
        {
            "type": "SizeBucketMetric",
            "ann_file": ann_file,
            "buckets": [("tiny", 0, 48**2), ("rest", 48**2, None)],
        },
        data[1],
    )
    assert {"coco/bbox_AP_tiny", "coco/bbox_AP_rest"} <= set(found)
    assert "coco/bbox_AP_S" not in found


def test_a_data_set_of_some_classes(data: Any, ann_file: str) -> None:
    rows = [
        {**r, "category_id": 10 * (1 + (r["category_id"] == 10))}
        for r in data[1]
        if r["category_id"] != 20
    ]  # class 0 is "kind 3", class 1 is "kind 1"
    found = run(
        {"type": "SizeBucketMetric", "ann_file": ann_file}, rows, classes=("kind 3", "kind 1")
    )
    table = evaluate(*data).per_category.set_index("category")["AP"]
    assert found["coco/bbox_AP"] == pytest.approx((table["kind 1"] + table["kind 3"]) / 2, abs=1e-3)


def test_no_detections_at_all(ann_file: str) -> None:
    assert run({"type": "SizeBucketMetric", "ann_file": ann_file}, [])["coco/bbox_AP"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ann_file": "/nowhere.json"}, "cannot read"),
        ({"iou_type": "keypoints"}, "keypoints"),
        ({"buckets": [("a", 0, 5)]}, "expected inf"),
    ],
)
def test_bad_options_fail_before_training(ann_file: str, change: Any, message: str) -> None:
    with pytest.raises(FpnProbeError, match=message):
        METRICS.build({"type": "SizeBucketMetric", "ann_file": ann_file, **change})


def test_a_class_that_the_annotations_lack(data: Any, ann_file: str) -> None:
    with pytest.raises(FpnProbeError, match="the class 'ring'"):
        run({"type": "SizeBucketMetric", "ann_file": ann_file}, data[1], classes=("ring",))
