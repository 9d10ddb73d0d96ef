"""The annotation areas of a dataset, which mmdet's datasets drop while loading."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from mmengine.fileio import get_text

from fpnprobe.data.annotation_file.reader import parse
from fpnprobe.errors import FpnProbeError


@dataclass(frozen=True, slots=True)
class AreaTable:
    """The `area` of every object of a dataset, in px^2 of the original image.

    Object `k` of sample `i`, in the order of `dataset.get_data_info(i)["instances"]`, has row
    `first[i] + k`.

    Attributes:
        first: Row of each sample's first object, `(samples + 1,)`.
        areas: `(objects,)`, float64 as in the file, so that a bucket border stays where it is.
        labels: The class label each object was loaded with, `(objects,)`.
    """

    first: npt.NDArray[np.int64]
    areas: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]


def area_table(dataset: Any, *, area: str | None = None) -> AreaTable:
    """Return the areas of an initialized mmdet dataset, read from its instances or its COCO file.

    Args:
        dataset: An mmdet dataset at the bottom, as of CocoDataset.
        area: "box" takes them from the boxes in px of the original image, for data without areas.

    Raises:
        FpnProbeError: If the annotations hold no areas, or do not match the loaded instances.
    """
    annotations: _ObjectsByImage | None = None
    first, areas, labels = [0], list[float](), list[int]()
    for info in (dataset.get_data_info(i) for i in range(len(dataset))):
        instances: Sequence[Mapping[str, Any]] = info["instances"]
        if area == "box":
            areas += (_box_area(instance["bbox"]) for instance in instances)
        elif all("area" in instance for instance in instances):
            areas += (instance["area"] for instance in instances)
        else:
            annotations = annotations or _ObjectsByImage(dataset)
            areas += annotations.areas(instances, info)
        labels += (instance["bbox_label"] for instance in instances)
        first.append(len(areas))
    return AreaTable(np.array(first), np.array(areas, dtype=np.float64), np.array(labels, int))


def _box_area(box: Sequence[float]) -> float:
    left, top, right, bottom = box
    return float((right - left) * (bottom - top))


class _ObjectsByImage:
    """The objects of a dataset's COCO file, in file order, by image."""

    def __init__(self, dataset: Any) -> None:
        name, path = type(dataset).__name__, str(getattr(dataset, "ann_file", ""))
        problem: Exception | None = None
        try:
            backend = getattr(dataset, "backend_args", None)
            text = get_text(path, "utf-8-sig", backend_args=backend)
        except (OSError, ValueError, TypeError) as error:
            text, problem = "", error
        if not text.lstrip().startswith("{"):
            raise FpnProbeError(
                f"dataset {name} has no COCO annotation file ({path!r}): expected each object's "
                "area in original px^2; convert it to COCO, put 'area' into its instances, or "
                'take the areas of the boxes: GradientProbeHook(area="box")'
            ) from problem
        self._annotations = parse(text, path)
        labels: Mapping[Any, int] = getattr(dataset, "cat2label", {})
        self._labels = [labels.get(key) for key in self._annotations.category_keys.values]
        self._image_index = {key: i for i, key in enumerate(self._annotations.image_keys.values)}
        self._rows = np.argsort(self._annotations.image, kind="stable")
        self._first = np.searchsorted(
            self._annotations.image[self._rows], np.arange(len(self._image_index) + 1)
        )

    def areas(
        self, instances: Sequence[Mapping[str, Any]], info: Mapping[str, Any]
    ) -> Iterator[float]:
        """Yield areas of an image's instances, its objects in order without the bad ones."""
        annotations, image = self._annotations, self._image_index.get(info["img_id"])
        positions = range(0) if image is None else range(self._first[image], self._first[image + 1])
        remaining = iter(positions)
        for instance in instances:
            for position in remaining:
                row = int(self._rows[position])
                x, y, width, height = annotations.boxes[row].tolist()
                if (
                    not annotations.ignore[row]
                    and annotations.areas[row] > 0
                    and list(instance["bbox"]) == [x, y, x + width, y + height]
                    and self._labels[annotations.category[row]] == instance["bbox_label"]
                ):
                    yield float(annotations.areas[row])
                    break
            else:
                raise FpnProbeError(
                    f"image {info['img_id']!r}: the loaded box {instance['bbox']} is not in the "
                    "annotation file in the order of loading; put 'area' into the dataset's "
                    "instances"
                )
