"""The evaluators: hotcoco, fast and parity tested, and pycocotools, the oracle.

Both know images and categories by their place, from 1: one of them carries ids as doubles, in which
9007199254740993 is 9007199254740992.
"""

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import Floats, GroundTruth
from fpnprobe.evaluation.masks import encode
from fpnprobe.evaluation.ranges import MAX_DETECTIONS, AreaRange

ENGINES = ("hotcoco", "pycocotools")


@dataclass(frozen=True, slots=True)
class Curves:
    """Precision (T, R, K, A, M) and recall (T, K, A, M); -1 where a category has no object.

    T IoU thresholds, R recall points, K categories, A area ranges, M detection limits.
    """

    precision: Floats
    recall: Floats


def run_engine(
    engine: str,
    *,
    ground_truth: GroundTruth,
    detections: Detections,
    iou_type: str,
    ranges: list[AreaRange],
) -> Curves:
    """Match and accumulate with the engine of this name.

    Raises:
        FpnProbeError: If there is no such engine.
    """
    if engine not in ENGINES:
        raise FpnProbeError(f"engine {engine!r} is unknown, expected one of {', '.join(ENGINES)}")
    masks = (
        encode(
            ground_truth.segmentations, ground_truth.sizes[ground_truth.image], "the annotations"
        )
        if iou_type == "segm"
        else None
    )
    run = _run_hotcoco if engine == "hotcoco" else _run_pycocotools
    curves = run(ground_truth, detections, masks, [list(area) for area in ranges])
    return Curves(np.asarray(curves["precision"]), np.asarray(curves["recall"]))


def _image_entries(ground_truth: GroundTruth) -> list[dict[str, int]]:
    return [
        {"id": i, "height": int(h), "width": int(w)}
        for i, (h, w) in enumerate(ground_truth.sizes, start=1)
    ]


def _category_entries(ground_truth: GroundTruth) -> list[dict[str, Any]]:
    return [
        {"id": i, "name": name or str(i)}
        for i, name in enumerate(ground_truth.category_names, start=1)
    ]


def _mask_results(detections: Detections) -> list[dict[str, Any]]:
    return [
        {"image_id": int(i), "category_id": int(c), "score": float(s), "segmentation": mask}
        for i, c, s, mask in zip(
            detections.image + 1,
            detections.category + 1,
            detections.scores,
            detections.masks,
            strict=True,
        )
    ]


def _run_hotcoco(
    truth: GroundTruth, detections: Detections, masks: Any, ranges: list[list[float]]
) -> Any:
    import hotcoco

    gt = hotcoco.COCO.from_arrays(
        _image_entries(truth),
        _category_entries(truth),
        truth.image + 1,
        truth.category + 1,
        truth.boxes,
        area=truth.areas,
        iscrowd=truth.crowd,
        segmentation=None if masks is None else list(masks),
    )
    if masks is None or not len(detections):
        columns = [
            detections.image + 1,
            detections.boxes,
            detections.scores,
            detections.category + 1,
        ]
        dt = gt.load_res(np.column_stack(columns).astype(np.float64))
    else:
        dt = gt.load_res(_mask_results(detections))
    run = hotcoco.COCOeval(gt, dt, "bbox" if masks is None else "segm")
    run.params.area_rng = ranges
    run.params.area_rng_lbl = ["all", *(f"range {i}" for i in range(1, len(ranges)))]
    run.params.img_ids = list(range(1, len(truth.image_ids) + 1))
    run.params.cat_ids = list(range(1, len(truth.category_ids) + 1))
    run.params.max_dets = list(MAX_DETECTIONS)
    run.evaluate()
    run.accumulate()
    return run.eval


def _run_pycocotools(
    truth: GroundTruth, detections: Detections, masks: Any, ranges: list[list[float]]
) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    gt, dt = COCO(), COCO()
    shared = {"images": _image_entries(truth), "categories": _category_entries(truth)}
    gt.dataset = {
        **shared,
        "annotations": [
            {
                "id": i + 1,  # an id of 0 reads as "not matched" there
                "image_id": int(truth.image[i]) + 1,
                "category_id": int(truth.category[i]) + 1,
                "bbox": truth.boxes[i].tolist(),
                "area": float(truth.areas[i]),
                "iscrowd": int(truth.crowd[i]),
                **({} if masks is None else {"segmentation": masks[i]}),
            }
            for i in range(len(truth.image))
        ],
    }
    dt.dataset = {
        **shared,
        "annotations": [
            {
                "id": i + 1,
                "image_id": int(detections.image[i]) + 1,
                "category_id": int(detections.category[i]) + 1,
                "bbox": detections.boxes[i].tolist(),
                "area": float(detections.areas[i]),
                "iscrowd": 0,
                "score": float(detections.scores[i]),
                **({} if masks is None else {"segmentation": detections.masks[i]}),
            }
            for i in range(len(detections))
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        gt.createIndex()
        dt.createIndex()
        run = COCOeval(gt, dt, "bbox" if masks is None else "segm")
        run.params.areaRng = ranges
        run.params.areaRngLbl = ["all", *(f"range {i}" for i in range(1, len(ranges)))]
        run.params.imgIds = list(range(1, len(truth.image_ids) + 1))
        run.params.catIds = list(range(1, len(truth.category_ids) + 1))
        run.params.maxDets = list(MAX_DETECTIONS)
        run.evaluate()
        run.accumulate()
    return run.eval
