"""The annotation areas of a dataset, which mmdet's datasets drop while loading."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from mmengine.fileio import get_text

from fpnprobe.errors import FpnProbeError


@dataclass(frozen=True, slots=True)
class AreaTable:
    """The `area` of every object of a dataset, in px^2 of the original image.

    Object `k` of sample `i`, in the order of `dataset.get_data_info(i)["instances"]`, has row
    `first[i] + k`.

    Attributes:
        first: row of each sample's first object, `(samples + 1,)`.
        areas: `(objects,)`, float64 as in the file, so that a bucket border stays where it is.
        labels: the class label each object was loaded with, `(objects,)`.
    """

    first: npt.NDArray[np.int64]
    areas: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]


def area_table(dataset: Any) -> AreaTable:
    """Areas of an initialized mmdet dataset, read from its instances or its COCO file.

    Raises:
        FpnProbeError: if the annotations hold no areas, or do not match the loaded instances.
    """
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    annotations: dict[Any, list[Mapping[str, Any]]] | None = None
    first, areas, labels = [0], list[float](), list[int]()
    for info in infos:
        instances: Sequence[Mapping[str, Any]] = info["instances"]
        if all("area" in instance for instance in instances):
            areas += (instance["area"] for instance in instances)
        else:
            annotations = _by_image(dataset) if annotations is None else annotations
            known = annotations.get(info["img_id"], [])
            areas += _matched(instances, known, getattr(dataset, "cat2label", {}), info)
        labels += (instance["bbox_label"] for instance in instances)
        first.append(len(areas))
    return AreaTable(np.array(first), np.array(areas, dtype=np.float64), np.array(labels, int))


def _by_image(dataset: Any) -> dict[Any, list[Mapping[str, Any]]]:
    """Annotations of the dataset's COCO file, in file order, by image id."""
    name, path = type(dataset).__name__, str(getattr(dataset, "ann_file", ""))
    try:
        content = json.loads(get_text(path, backend_args=getattr(dataset, "backend_args", None)))
        annotations = content["annotations"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FpnProbeError(
            f"dataset {name} has no COCO annotation file ({path!r}): expected each object's area "
            "in original px^2; convert it to COCO, or put 'area' into its instances"
        ) from error
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for annotation in annotations:
        groups.setdefault(annotation["image_id"], []).append(annotation)
    return groups


def _matched(
    instances: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    label_of: Mapping[int, int],
    info: Mapping[str, Any],
) -> Iterator[float]:
    """Loaded instances are a subsequence of the annotations: the dataset skips bad ones."""
    rest = iter(annotations)
    for instance in instances:
        for annotation in rest:
            x, y, width, height = annotation["bbox"]
            if (
                not annotation.get("ignore", False)
                and annotation["area"] > 0
                and list(instance["bbox"]) == [x, y, x + width, y + height]
                and label_of.get(annotation["category_id"]) == instance["bbox_label"]
            ):
                yield annotation["area"]
                break
        else:
            raise FpnProbeError(
                f"image {info['img_id']!r}: the loaded box {instance['bbox']} is not in the "
                "annotation file in the order of loading; put 'area' into the dataset's instances"
            )
