"""pycocotools as its users call it, and generated data with every corner case of the format."""

import contextlib
import copy
import io
from typing import Any

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = (
    "AP", "AP_50", "AP_75", "AP_S", "AP_M", "AP_L",
    "AR_1", "AR_10", "AR_100", "AR_S", "AR_M", "AR_L",
)  # fmt: skip
SIDE = 256


def coco_stats(
    annotations: dict[str, Any],
    detections: list[dict[str, Any]],
    iou_type: str = "bbox",
    areas: list[list[float]] | None = None,
) -> dict[str, float]:
    """The twelve numbers as `COCOeval.summarize` prints them; -1 as NaN."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(annotations)
        truth.createIndex()
        if iou_type == "segm":  # COCO's mask results carry no box; with one, its area would count
            detections = [{k: v for k, v in d.items() if k != "bbox"} for d in detections]
        if detections:
            found = truth.loadRes(copy.deepcopy(detections))
        else:  # loadRes cannot load an empty list
            found = COCO()
            found.dataset = {**truth.dataset, "annotations": []}
            found.createIndex()
        run = COCOeval(truth, found, iou_type)
        if areas is not None:
            run.params.areaRng = areas
        run.evaluate()
        run.accumulate()
        run.summarize()
    return {name: np.nan if v == -1 else float(v) for name, v in zip(NAMES, run.stats, strict=True)}


def cases(
    images: int, *, seed: int = 0, masks: bool = False
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations and detections in which every rule of the evaluation is needed.

    Images without objects, without detections and without both; crowds; objects of area 0 and
    exactly on the borders 32^2 and 96^2; scores from five values only (ties); over 100 detections
    of one class on one image; a category without objects, one without detections, one without
    both; unsorted ids with gaps; polygons, several parts, compressed and uncompressed RLEs.
    """
    random = np.random.default_rng(seed)
    image_ids = (random.permutation(images) * 3 + 5).tolist()
    categories = [{"id": i, "name": f"c{i}"} for i in (7, 2, 30, 4, 11, 19)]
    no_objects, no_detections, neither = 30, 4, 19
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for n, image in enumerate(image_ids):
        objects = 0 if n % 9 == 0 else int(random.integers(1, 9))
        crowded = n % 40 == 5
        boxes = []
        for _ in range(objects):
            box = _box(random)
            category = int(random.choice([7, 7, 2, 4, 11]))
            boxes.append((box, category))
            annotations.append(
                {
                    "id": 1000 - len(annotations)
                    if len(annotations) < 500
                    else 1000 + len(annotations),
                    "image_id": image,
                    "category_id": category,
                    "bbox": box,
                    "area": _area(random, box),
                    "iscrowd": int(random.random() < 0.1),
                }
            )
            if masks:
                annotations[-1]["segmentation"] = _mask(random, box, annotations[-1]["iscrowd"])
        if n % 9 in (0, 4) and n % 2:
            continue
        for box, category in boxes * (2 if n % 3 == 0 else 1):
            if category != no_detections and random.random() < 0.85:
                moved = [
                    v + float(random.normal(0, 0.07)) * s
                    for v, s in zip(box, 2 * box[2:], strict=True)
                ]
                moved[2:] = [max(1.0, v) for v in moved[2:]]
                swap = random.random() < 0.1
                detections.append(_detection(random, image, 7 if swap else category, moved, masks))
        for _ in range(130 if crowded else int(random.integers(0, 6))):
            category = 7 if crowded else int(random.choice([7, 2, 11, no_objects]))
            detections.append(_detection(random, image, category, _box(random), masks))
    order = random.permutation(len(detections))
    content = {
        "images": [{"id": i, "width": SIDE, "height": SIDE} for i in image_ids],
        "categories": categories,
        "annotations": annotations,
    }
    assert neither not in {a["category_id"] for a in annotations}
    return content, [detections[i] for i in order]


def _box(random: np.random.Generator) -> list[float]:
    side = float(random.choice([12, 32, 40, 96, 120])) * (
        1 if random.random() < 0.3 else random.uniform(0.6, 1.4)
    )
    corner = random.uniform(0, SIDE - 170, 2)
    if random.random() < 0.5:  # whole pixels: equal IoUs, areas on the borders
        side, corner = round(side), np.round(corner)
    return [float(corner[0]), float(corner[1]), float(side), float(side)]


def _area(random: np.random.Generator, box: list[float]) -> float:
    draw = random.random()
    if draw < 0.1:
        return float(random.choice([0.0, 32.0**2, 96.0**2]))
    return box[2] * box[3] * (1.0 if draw < 0.5 else float(random.uniform(0.4, 1.0)))


def _detection(
    random: np.random.Generator, image: int, category: int, box: list[float], masks: bool
) -> dict[str, Any]:
    score = (
        float(random.choice([0.1, 0.3, 0.5, 0.7, 0.9]))
        if random.random() < 0.7
        else random.random()
    )
    found: dict[str, Any] = {
        "image_id": image, "category_id": category, "bbox": box, "score": float(score),
    }  # fmt: skip
    if masks:
        code = rle.merge(rle.frPyObjects(_polygon(random, box), SIDE, SIDE))
        found["segmentation"] = {"size": code["size"], "counts": code["counts"].decode()}
    return found


def _polygon(random: np.random.Generator, box: list[float]) -> list[list[float]]:
    x, y, w, h = box
    cut = float(random.uniform(0, 0.4))
    whole = [x, y, x + w, y + cut * h, x + w, y + h, x + cut * w, y + h]
    if random.random() < 0.7:
        return [whole]
    half = [x, y, x + w / 2, y, x + w / 2, y + h, x, y + h]
    rest = [x + w * 0.6, y, x + w, y, x + w, y + h / 2]
    return [half, rest]


def _mask(random: np.random.Generator, box: list[float], crowd: int) -> Any:
    polygon = _polygon(random, box)
    if not crowd and random.random() < 0.7:
        return polygon
    code = rle.merge(rle.frPyObjects(polygon, SIDE, SIDE))
    if random.random() < 0.5:
        return {"size": code["size"], "counts": code["counts"].decode()}
    flat = rle.decode(code).flatten(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=0))
    counts = np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()
    return {"size": [SIDE, SIDE], "counts": counts}
