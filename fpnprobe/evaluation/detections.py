"""Detections in columns, read from COCO result files."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fpnprobe.data.annotation_file import documents
from fpnprobe.data.annotation_file.identity import Key, Keys, key_of, note_strangers
from fpnprobe.data.annotation_file.problems import Problems, shown
from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation.ground_truth import Floats, GroundTruth, Ints
from fpnprobe.evaluation.masks import encode, mask_areas

_BOX_FIX = "expected four numbers, x, y, width, height in px, width and height >= 0"


@dataclass(frozen=True, slots=True, repr=False)
class Detections:
    """A detector's output on the images of a ground truth, as columns in file order.

    `image` and `category` (D,) index `GroundTruth.image_ids` and `.category_ids`; `boxes` (D, 4)
    are x, y, width, height in px; `areas` (D,) px^2, of the box or, for masks, of the mask;
    `scores` (D,). `masks` holds compressed RLEs, and is empty where boxes are evaluated. `where`
    names the file.
    """

    image: Ints
    category: Ints
    boxes: Floats
    areas: Floats
    scores: Floats
    masks: tuple[Any, ...]
    where: str = "the detections"

    def __repr__(self) -> str:
        return f"Detections({len(self.image)} boxes on {len(np.unique(self.image))} images)"

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def of(
        cls,
        source: "str | Path | Sequence[Any] | Detections",
        *,
        ground_truth: GroundTruth,
        iou_type: str = "bbox",
    ) -> "Detections":
        """Read a path or a list of COCO result dictionaries; detections pass through.

        Raises:
            FpnProbeError: If an entry is malformed or names an unknown image or category.
        """
        if isinstance(source, Detections):
            return source
        source_name = str(source) if isinstance(source, str | Path) else "the detections"
        content = documents.read_json(source) if isinstance(source, str | Path) else source
        if not isinstance(content, list):
            hint = "; take its list 'annotations'" if _is_wrapped(content) else ""
            raise FpnProbeError(
                f"{source_name} holds a {type(content).__name__}, expected a list of COCO results "
                f"(image_id, category_id, bbox, score){hint}"
            )
        return _DetectionReader(source_name, boxes=iou_type != "segm").read(content, ground_truth)


class _DetectionReader:
    """The entries of a result file while they are read."""

    def __init__(self, source_name: str, *, boxes: bool) -> None:
        self._source_name, self._with_boxes = source_name, boxes
        self._problems = Problems(source_name, "detections")
        self._images: list[Key | None] = []
        self._categories: list[Key | None] = []
        self._scores = array("d")
        self._boxes = array("d")

    def read(self, content: list[Any], truth: GroundTruth) -> Detections:
        for number, entry in enumerate(content):
            self._add_entry(number, entry)
        self._problems.refuse(len(content))
        image = self._find_rows(self._images, truth.images_named(), "image_id")
        category = self._find_rows(self._categories, truth.categories_named(), "category_id")
        scores, boxes = _as_float64(self._scores), _as_float64(self._boxes).reshape(-1, 4)
        bad = np.flatnonzero(~np.isfinite(scores))
        if len(bad):
            example = f"entry {bad[0]}, score {scores[bad[0]]}"
            problem, fix = "have a score that is not finite", "expected a number"
            self._problems.add(problem, example, fix, count=len(bad))
        bad = np.flatnonzero(~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < 0).any(axis=1))
        if len(bad):
            example = f"entry {bad[0]} has the bbox {boxes[bad[0]].tolist()}"
            self._problems.add("have no usable box", example, _BOX_FIX, count=len(bad))
        self._problems.refuse(len(content))
        masks: tuple[Any, ...] = ()
        areas: Floats = boxes[:, 2] * boxes[:, 3]
        if not self._with_boxes:
            segmentations = [entry.get("segmentation") for entry in content]
            masks = encode(segmentations, truth.sizes[image], self._source_name)
            boxes, areas = np.zeros((len(content), 4)), mask_areas(masks)
        return Detections(
            image=image,
            category=category,
            boxes=boxes,
            areas=areas,
            scores=scores,
            masks=masks,
            where=self._source_name,
        )

    def _add_entry(self, number: int, entry: Any) -> None:
        if not isinstance(entry, dict):
            self._problems.add(
                "are no objects",
                f"entry {number}, {shown(entry)}",
                "expected image_id, category_id, bbox and score",
            )
            return
        self._images.append(self._read_key(number, entry, "image_id"))
        self._categories.append(self._read_key(number, entry, "category_id"))
        self._scores.append(self._read_score(number, entry))
        if self._with_boxes:
            self._add_box(number, entry)

    def _read_key(self, number: int, entry: dict[str, Any], key: str) -> Key | None:
        value = entry.get(key)
        if type(value) is int or type(value) is str:
            return value
        checked_key = key_of(value)
        if checked_key is None:
            example = f"entry {number}, {key} {shown(value)}"
            self._problems.add(f"have no usable {key}", example, "expected that of the annotations")
        return checked_key

    def _read_score(self, number: int, entry: dict[str, Any]) -> float:
        value = entry.get("score")
        if type(value) is float or type(value) is int or isinstance(value, np.floating):
            try:
                return float(value)
            except OverflowError:
                return float("inf")
        example = f"entry {number}, score {shown(value)}" if "score" in entry else f"entry {number}"
        problem = "have a score that is no number" if "score" in entry else "have no 'score'"
        self._problems.add(problem, example, "expected a number")
        return 0.0

    def _add_box(self, number: int, entry: dict[str, Any]) -> None:
        box = entry.get("bbox")
        if isinstance(box, list | tuple) and len(box) == 4:
            numbers = (int, float, np.floating, np.integer)
            if all(isinstance(side, numbers) and type(side) is not bool for side in box):
                try:
                    self._boxes.extend([float(side) for side in box])
                    return
                except OverflowError:
                    pass
        example = f"entry {number}, bbox {shown(box)}" if "bbox" in entry else f"entry {number}"
        self._problems.add("have no box of four numbers", example, _BOX_FIX)

    def _find_rows(self, keys: list[Key | None], known_keys: Keys, key: str) -> Ints:
        places = known_keys.places(keys)
        note_strangers(self._problems, places, key, keys, known_keys, lambda row: f"entry {row}")
        self._problems.refuse(len(keys))
        return places


def _as_float64(values: "array[float]") -> Floats:
    numbers: npt.NDArray[np.float64] = np.frombuffer(values, np.float64) if values else np.zeros(0)
    return numbers


def _is_wrapped(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("annotations"), list)
