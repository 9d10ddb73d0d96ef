"""Generated ground truth and detections, for parity tests and benchmarks of any size."""

from typing import Any

import numpy as np

from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import GroundTruth

_SIDE = 640.0


def generate(
    *,
    images: int,
    objects: float = 7.3,
    detections: float = 50.0,
    categories: int = 80,
    skill: float = 0.5,
    seed: int = 0,
) -> tuple[GroundTruth, Detections]:
    """Return COCO-shaped boxes on `images` images: about `objects` and `detections` each.

    A share of the objects, `skill` and larger for large ones, is found with a jittered box and a
    better score; the other detections are near misses and background. The ground truth depends on
    `seed`, `images`, `objects` and `categories` alone, so that two skills make a fair pair.
    """
    truth = _ground_truth(images, objects, categories, seed)
    random = np.random.default_rng([seed, 1, int(skill * 1e6)])
    chance = np.clip(skill + 0.15 * np.log2(np.sqrt(truth.areas) / 64), 0.05, 0.98)
    near = np.flatnonzero(random.random(len(truth.image)) < chance)
    total = round(images * detections)
    # Some objects are hit several times, as before non-maximum suppression is perfect.
    near = np.concatenate([near, random.choice(near, len(near) // 3)]) if len(near) else near
    near = near[:total]
    jitter = random.normal(0, 0.08, (len(near), 4)) * truth.boxes[near][:, [2, 3, 2, 3]]
    wrong = random.random(len(near)) < 0.08
    far = total - len(near)
    boxes = np.concatenate([truth.boxes[near] + jitter, _draw_boxes(random, far)[0]])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 1.0)
    category = np.concatenate(
        [
            np.where(wrong, random.integers(0, categories, len(near)), truth.category[near]),
            random.integers(0, categories, far),
        ]
    )
    quality = np.exp(-np.abs(jitter).sum(axis=1) / np.sqrt(truth.areas[near]))
    scores = np.concatenate([quality * random.beta(5, 2, len(near)), random.beta(1, 5, far)])
    return truth, Detections(
        image=np.concatenate([truth.image[near], random.integers(0, images, far)]),
        category=category,
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        scores=scores,
        masks=(),
    )


def as_documents(
    truth: GroundTruth, detections: Detections
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same as COCO dictionaries, ready for `json.dump`."""
    annotations = {
        "images": [
            {"id": int(i), "height": int(h), "width": int(w)}
            for i, (h, w) in zip(truth.image_ids, truth.sizes, strict=True)
        ],
        "categories": [
            {"id": int(i), "name": name}
            for i, name in zip(truth.category_ids, truth.category_names, strict=True)
        ],
        "annotations": [
            {
                "id": k + 1,
                "image_id": int(truth.image_ids[truth.image[k]]),
                "category_id": int(truth.category_ids[truth.category[k]]),
                "bbox": truth.boxes[k].tolist(),
                "area": float(truth.areas[k]),
                "iscrowd": int(truth.crowd[k]),
            }
            for k in range(len(truth.image))
        ],
    }
    results = [
        {
            "image_id": int(truth.image_ids[detections.image[k]]),
            "category_id": int(truth.category_ids[detections.category[k]]),
            "bbox": detections.boxes[k].tolist(),
            "score": float(detections.scores[k]),
        }
        for k in range(len(detections))
    ]
    return annotations, results


def _ground_truth(images: int, objects: float, categories: int, seed: int) -> GroundTruth:
    random = np.random.default_rng([seed, 0])
    total = round(images * objects)
    boxes, fill = _draw_boxes(random, total)
    return GroundTruth(
        image_ids=np.arange(1, images + 1),
        sizes=np.full((images, 2), int(_SIDE)),
        category_ids=np.arange(1, categories + 1),
        category_names=tuple(f"kind {k}" for k in range(1, categories + 1)),
        image=np.sort(random.integers(0, images, total)),
        category=random.integers(0, categories, total),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3] * fill,
        crowd=random.random(total) < 0.01,
        segmentations=(None,) * total,
    )


def _draw_boxes(random: np.random.Generator, total: int) -> tuple[Any, Any]:
    side = np.exp(random.normal(np.log(56), 0.95, total)).clip(3, 560)
    aspect = np.exp(random.normal(0, 0.35, total))
    size = np.column_stack([side * aspect, side / aspect]).clip(2, _SIDE)
    corner = random.random((total, 2)) * (_SIDE - size)
    return np.column_stack([corner, size]), random.uniform(0.4, 1.0, total)
