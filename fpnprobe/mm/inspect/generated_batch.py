"""Generated batches for checks: boxes of every bucket, annotation areas unlike box areas, masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

_FILL = (0.3, 0.9)  # annotation area over box area: real objects do not fill their boxes
_SIDES = ((0.04, 0.1), (0.14, 0.3), (0.42, 0.8))  # of the image, small to large objects


def data_sample(
    boxes: npt.ArrayLike,
    labels: npt.ArrayLike,
    areas: npt.ArrayLike,
    *,
    size: tuple[int, int],
    ignored: npt.ArrayLike = (),
    image: int = 0,
) -> DetDataSample:
    """One image's annotations, as mmdet's pipelines pack them.

    Args:
        boxes: `(N, 4)` as x1, y1, x2, y2 in px.
        labels: `(N,)` class indices.
        areas: `(N,)` annotation areas in px^2 of the original image.
        size: Height and width of the image in px.
        ignored: `(M, 4)` boxes of crowds.
        image: Image id.
    """
    height, width = size
    corners = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    truth = InstanceData(
        bboxes=torch.from_numpy(corners),
        labels=torch.as_tensor(np.asarray(labels, dtype=np.int64)),
        areas=torch.as_tensor(np.asarray(areas, dtype=np.float64)),
        masks=_boxes_as_masks(corners, size),
    )
    crowds = np.asarray(ignored, dtype=np.float32).reshape(-1, 4)
    sample = DetDataSample(
        metainfo={
            "img_id": image,
            "img_shape": (height, width),
            "ori_shape": (height, width),
            "pad_shape": (height, width),
            "batch_input_shape": (height, width),
            "scale_factor": (1.0, 1.0),
        }
    )
    sample.gt_instances = truth
    sample.ignored_instances = InstanceData(
        bboxes=torch.from_numpy(crowds), labels=torch.zeros(len(crowds), dtype=torch.long)
    )
    return sample


def _boxes_as_masks(boxes: npt.NDArray[np.float32], size: tuple[int, int]) -> BitmapMasks:
    masks = np.zeros((len(boxes), *size), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int), strict=True):
        mask[top : max(bottom, top + 1), left : max(right, left + 1)] = 1
    return BitmapMasks(masks, *size)


def generated_batch(
    *,
    size: int = 160,
    images: int = 2,
    objects: int = 9,
    classes: int = 80,
    bounds: Sequence[float] = (32**2, 96**2),
    seed: int = 1,
) -> dict[str, Any]:
    """A batch as a detector's data preprocessor takes it, with objects of every bucket.

    Areas are annotation areas of an original image: drawn in each bucket of `bounds` in turn, and
    so that the box area would often say another bucket. Classes are all different where there are
    enough, so that a class target tells which object a row was matched to.

    Args:
        size: Height and width in px.
        images: Images in the batch.
        objects: Objects in each image.
        classes: Classes to draw labels from.
        bounds: Borders between the buckets, in px^2.
        seed: Seed of everything drawn.

    >>> batch = generated_batch(size=64, objects=3)
    >>> [tuple(image.shape) for image in batch["inputs"]]
    [(3, 64, 64), (3, 64, 64)]
    """
    rng = np.random.default_rng(seed)
    count = images * objects
    labels = rng.permutation(classes) if classes >= count else rng.integers(0, classes, count)
    inputs, samples = [], []
    edges = (bounds[0] / 4, *bounds, bounds[-1] * 4)
    for image in range(images):
        kind = np.arange(objects) % (len(bounds) + 1)
        low, high = np.array(_SIDES)[np.minimum(kind, len(_SIDES) - 1)].T
        sides = rng.uniform(low[:, None], high[:, None], (objects, 2)) * size
        corner = rng.uniform(0, 1, (objects, 2)) * (size - sides)
        boxes = np.concatenate([corner, corner + sides], axis=1)
        fill = rng.uniform(*_FILL, objects)
        areas = np.array(
            [edges[k] + f * (edges[k + 1] - edges[k]) for k, f in zip(kind, fill, strict=True)]
        )
        image_labels = labels[image * objects : (image + 1) * objects]
        samples.append(data_sample(boxes, image_labels, areas, size=(size, size), image=image))
        pixels = rng.integers(0, 256, (3, size, size), dtype=np.uint8)
        inputs.append(torch.from_numpy(pixels))
    return {"inputs": inputs, "data_samples": samples}
