"""The list `annotations` of an annotation file, typed.

The loop over its entries is the slow part of reading (COCO's train2017 has 860,001), so each entry
costs one pass over its fields, and everything that can be asked of all at once is asked with numpy.
"""

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from fpnprobe.data.annotation_file.identity import Keys, key_of, note_strangers
from fpnprobe.data.annotation_file.mask_columns import MaskColumns
from fpnprobe.data.annotation_file.problems import Problems, shown

Ints = npt.NDArray[np.int64]

_BOX_FIX = "expected four numbers, x, y, width, height in px"
_AREA_FIX = (
    'add it (px^2), or take it from the boxes: area="box" (`--set data.area=box`, `--area box`)'
)
_FLAGS: dict[Any, bool] = {0: False, 1: True}


class ObjectColumns:
    """Collects the objects of a file."""

    def __init__(self, file_name: str, *, area_of_box: bool) -> None:
        self._file_name = file_name
        self._problems = Problems(file_name, "annotations")
        self._area_of_box = area_of_box
        self._images: list[Any] = []
        self._categories: list[Any] = []
        self._ids: list[Any] = []
        self._boxes = array("d")
        self._areas = array("d")
        self._crowd = bytearray()
        self._ignore = bytearray()
        self._masks = MaskColumns()

    def add(self, entry: Any) -> None:
        """Take the next entry."""
        if type(entry) is not dict:
            self._problems.add(
                "are no objects", f"number {len(self._images)}, {shown(entry)}", "see COCO's format"
            )
            entry = {"image_id": 0, "category_id": 0, "bbox": [0, 0, 0, 0], "area": 0}
        self._images.append(self._pointer(entry, "image_id"))
        self._categories.append(self._pointer(entry, "category_id"))
        self._ids.append(entry.get("id"))
        self._add_box(entry)
        self._add_area(entry)
        self._crowd.append(self._flag(entry, "iscrowd"))
        self._ignore.append(self._flag(entry, "ignore"))
        self._masks.add(entry.get("segmentation"))

    def _pointer(self, entry: dict[str, Any], key: str) -> Any:
        value = entry.get(key)
        if type(value) is int or type(value) is str:
            return value
        key_value = key_of(value)
        if key_value is None:
            if "segments_info" in entry:
                problem, fix = "are of COCO's panoptic format", "expected its detection format"
            elif value is None:
                problem, fix = (
                    f"have no {key!r}",
                    f"say which {key.removesuffix('_id')} they are of",
                )
            else:
                problem, fix = f"have no usable {key}", "expected a whole number or text"
            self._problems.add(problem, self._example(entry, key), fix)
        return key_value

    def _add_box(self, entry: dict[str, Any]) -> None:
        box = entry.get("bbox")
        if type(box) is list and len(box) == 4:
            first, second, third, fourth = box
            kinds = {type(first), type(second), type(third), type(fourth)}
            if kinds <= {int, float}:
                try:
                    self._boxes.extend(box)
                    return
                except OverflowError:
                    del self._boxes[4 * (len(self._images) - 1) :]
        fix = _BOX_FIX
        if box is None and "keypoints" in entry:
            fix = f"this is a file of keypoints without boxes: {_BOX_FIX}"
        self._problems.add(
            "have no box" if box is None else "have no box of four numbers",
            self._example(entry, "bbox"),
            fix,
        )
        self._boxes.extend((0, 0, 1, 1))

    def _add_area(self, entry: dict[str, Any]) -> None:
        area = entry.get("area")
        if self._area_of_box:
            width, height = self._boxes[-2], self._boxes[-1]
            self._areas.append(width * height)
        elif type(area) is float or type(area) is int:
            try:
                self._areas.append(area)
            except OverflowError:
                self._areas.append(float("inf"))
        else:
            problem = "have no 'area'" if area is None else "have an area that is no number"
            self._problems.add(problem, self._example(entry, "area"), _AREA_FIX)
            self._areas.append(1)

    def _flag(self, entry: dict[str, Any], key: str) -> bool:
        value = entry.get(key)
        if value is None:
            return False
        if type(value) in (int, bool, float) and value in _FLAGS:
            return _FLAGS[value]
        self._problems.add(
            f"have an {key} that is neither 0 nor 1",
            self._example(entry, key),
            "write 0 for a single object, 1 for a crowd" if key == "iscrowd" else "write 0 or 1",
        )
        return False

    def _example(self, entry: dict[str, Any], key: str) -> str:
        number = f"number {len(self._images)}"
        name = f"annotation {shown(entry['id'])}" if "id" in entry else number
        return f"{name}, {key} {shown(entry[key])}" if key in entry else name

    def finish(self, images: Keys, categories: Keys, sizes: Ints) -> dict[str, Any]:
        """The columns of `Annotations`.

        Raises:
            FpnProbeError: About the first bad entry.
        """
        total = len(self._images)
        self._problems.refuse(total)
        boxes = np.frombuffer(self._boxes, dtype=np.float64) if total else np.zeros(0)
        boxes = boxes.reshape(-1, 4)
        areas = np.frombuffer(self._areas, dtype=np.float64) if total else np.zeros(0)
        image, category = images.places(self._images), categories.places(self._categories)
        note_strangers(self._problems, image, "image_id", self._images, images, self._row)
        note_strangers(
            self._problems, category, "category_id", self._categories, categories, self._row
        )
        self._note(
            np.asarray(~np.isfinite(boxes).all(axis=1)), "have a box with NaN or infinity", boxes
        )
        negative = np.asarray((boxes[:, 2:] < 0).any(axis=1))
        self._note(negative, "have a box of negative width or height", boxes)
        bad = np.flatnonzero(~np.isfinite(areas) | (areas < 0))
        if len(bad):
            self._problems.add(
                "have an area that is negative or not finite",
                f"{self._row(bad[0])}, area {areas[bad[0]]:g}",
                _AREA_FIX,
                count=len(bad),
            )
        self._problems.refuse(total)
        image_sizes = sizes[image] if total else np.zeros((0, 2), dtype=np.int64)
        masks = self._masks.finish(image_sizes)
        return {
            "image": image,
            "category": category,
            "boxes": boxes,
            "areas": areas,
            "crowd": np.frombuffer(bytes(self._crowd), dtype=np.bool_),
            "ignore": np.frombuffer(bytes(self._ignore), dtype=np.bool_),
            "masks": masks,
            "entry": np.arange(total),
            "short": np.array(self._masks.short, dtype=np.int64),
            "mask_problem": self._mask_problem(total),
            "repeated_ids": self._repeated(),
        }

    def _note(self, marks: npt.NDArray[np.bool_], problem: str, boxes: Any) -> None:
        bad = np.flatnonzero(marks)
        if len(bad):
            example = f"{self._row(bad[0])}, bbox {boxes[bad[0]].tolist()}"
            self._problems.add(problem, example, _BOX_FIX, count=len(bad))

    def _row(self, row: Any) -> str:
        object_id = self._ids[row]
        return f"number {row}" if object_id is None else f"annotation {shown(object_id)}"

    def _mask_problem(self, total: int) -> str | None:
        if not self._masks.wrong:
            return None
        row, problem = self._masks.wrong[0]
        count = len({row for row, _ in self._masks.wrong})
        return (
            f"{self._file_name}: {count} of {total} annotations have a segmentation that cannot be "
            f"used (first: {self._row(row)}, {problem}); correct or remove it"
        )

    def _repeated(self) -> int:
        """Count the annotations that repeat an id; nothing depends on it."""
        ids = [value for value in self._ids if type(value) is int or type(value) is str]
        return len(ids) - len(set(ids))
