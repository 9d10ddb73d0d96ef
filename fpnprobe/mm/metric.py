"""Our evaluation as an mmengine metric: fast, with size buckets of your own."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.structures.mask import encode_mask_results
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from fpnprobe.data.annotation_file.identity import Key, key_of
from fpnprobe.data.annotation_file.reader import read
from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation import GroundTruth, evaluate
from fpnprobe.evaluation.masks import check_iou_type
from fpnprobe.scales import stored_buckets
from fpnprobe.store import atomic


@METRICS.register_module()
class SizeBucketMetric(BaseMetric):
    """COCO AP and AR, over all objects and by size bucket, by the parity-tested fast engine.

    `val_evaluator = dict(type="SizeBucketMetric", ann_file="annotations/val.json")` logs
    `coco/bbox_AP`, `coco/bbox_AP_50`, ..., `coco/bbox_AP_L`, `coco/bbox_AR_100`, in [0, 1]; NaN
    where a size has no objects.

    Args:
        ann_file: COCO annotations.
        iou_type: `bbox`, `segm`, or both in a list.
        buckets: (name, low, high) in px^2 of the original image, high None for no limit; COCO's
            small, medium, large by default.
        engine: `hotcoco` or `pycocotools`.
        out_file: Where to keep the detections as COCO results (`.json.gz`), for `fpnprobe compare`.
        collect_device: `cpu` or `gpu`, as in mmengine.
        prefix: Of the metrics' names.
    """

    default_prefix = "coco"

    def __init__(
        self,
        ann_file: str,
        iou_type: str | Sequence[str] = "bbox",
        buckets: Sequence[Sequence[Any]] | None = None,
        engine: str = "hotcoco",
        out_file: str | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.iou_types = [iou_type] if isinstance(iou_type, str) else list(iou_type)
        for kind in self.iou_types:
            check_iou_type(kind)
        self.buckets = stored_buckets(buckets)
        self.engine, self.out_file = engine, out_file
        self.annotations = read(ann_file)  # a bad file fails here, before any training

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:  # noqa: ARG002 -- mmengine's
        """Keep the predictions of one batch, with class indices still."""
        for sample in data_samples:
            instances = sample["pred_instances"]
            boxes = instances["bboxes"].double().cpu().numpy()
            boxes[:, 2:] -= boxes[:, :2]
            result = {
                "image": sample["img_id"],
                "boxes": boxes.tolist(),
                "scores": instances["scores"].double().cpu().tolist(),
                "labels": instances["labels"].tolist(),
            }
            if "segm" in self.iou_types:
                masks = instances["masks"]
                encoded = (
                    masks if isinstance(masks, list) else encode_mask_results(masks.cpu().numpy())
                )
                result["masks"] = encoded
                scores = (
                    instances["mask_scores"] if "mask_scores" in instances else instances["scores"]
                )
                result["mask_scores"] = scores.double().cpu().tolist()
            self.results.append(result)

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Evaluate everything, on the first process only."""
        truth, ids = self._of_classes()
        metrics: dict[str, float] = {}
        for iou_type in self.iou_types:
            rows = _result_rows(results, ids, iou_type)
            if self.out_file is not None:
                _store_rows(_name_file(self.out_file, iou_type, self.iou_types), rows)
            evaluation = evaluate(
                truth, rows, iou_type=iou_type, buckets=self.buckets, engine=self.engine
            )
            metrics |= {f"{iou_type}_{name}": value for name, value in evaluation.metrics.items()}
        return metrics

    def _of_classes(self) -> tuple[GroundTruth, list[Key]]:
        """Annotations of the data set's classes alone, and each class index's category id."""
        annotations = self.annotations
        key_of = dict(
            zip(annotations.category_names, annotations.category_keys.values, strict=True)
        )
        classes = (self.dataset_meta or {}).get("classes") or list(key_of)
        strange = [name for name in classes if name not in key_of]
        if strange:
            raise FpnProbeError(
                f"the data set has the class {strange[0]!r}, which the annotation file lacks: "
                f"expected some of {', '.join(map(str, key_of))}"
            )
        indices = [i for i, name in enumerate(annotations.category_names) if name in set(classes)]
        return GroundTruth.of(annotations.take_categories(indices)), [
            key_of[name] for name in classes
        ]


def _result_rows(
    results: list[dict[str, Any]], ids: list[Key], iou_type: str
) -> list[dict[str, Any]]:
    rows = []
    for result in results:
        masks = result.get("masks") if iou_type == "segm" else None
        scores = result["scores"] if masks is None else result["mask_scores"]
        for k, label in enumerate(result["labels"]):
            row = {
                "image_id": key_of(result["image"]),
                "category_id": ids[label],
                "bbox": result["boxes"][k],
                "score": scores[k],
            }
            rows.append(row if masks is None else row | {"segmentation": masks[k]})
    return rows


def _name_file(out_file: str, iou_type: str, iou_types: list[str]) -> str:
    """The file itself, or one for each type where there are two."""
    path = Path(out_file)
    return out_file if len(iou_types) == 1 else str(path.with_name(f"{iou_type}.{path.name}"))


def _store_rows(path: str, rows: list[dict[str, Any]]) -> None:
    def plain(value: Any) -> str:
        return str(value.decode())  # the counts of an RLE

    text = json.dumps(rows, default=plain).encode()
    atomic.write_bytes(path, gzip.compress(text, mtime=0))
