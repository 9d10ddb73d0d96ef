"""The annotated objects of a batch: bucket and class of each, numbered through the batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.provenance import MarkedObjects
from fpnprobe.probing.provenance.box_check import box_forms
from fpnprobe.scales import ScaleBucket, bucket_index

BACKGROUND = -1  # number of the object of a row that has none


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of a batch; object j of image i has the number `first[i] + j`.

    Attributes:
        first: Number of each image's first object, and the count, `(images + 1,)`.
        buckets: Index of each object's bucket, `(N,)`.
        classes: Class label of each object, `(N,)`.
        areas: Annotation area of each object, px^2, `(N,)`.
        boxes: Forms of each object's box that may be targets, `(F, N, 4)`, or None.
    """

    first: tuple[int, ...]
    buckets: Tensor
    classes: Tensor
    areas: Tensor
    boxes: Tensor | None = None

    @classmethod
    def of(cls, samples: Sequence[Any], buckets: Sequence[ScaleBucket]) -> "Objects":
        """Read `gt_instances.areas` (px^2 of the original image) and `.labels` of data samples.

        Raises:
            FpnProbeError: If there are no areas, or not one for each box.
        """
        first, areas, classes = [0], [], []
        for sample in samples:
            truth = sample.gt_instances
            if "areas" not in truth:
                raise FpnProbeError(
                    "data samples have no gt_instances.areas: expected each object's annotation "
                    "area in original px^2; use GradientProbeHook, which carries it through the "
                    "pipeline, or set the field yourself"
                )
            if len(truth.areas) != len(truth.labels):
                raise FpnProbeError(
                    f"{len(truth.areas)} areas for {len(truth.labels)} boxes in one image: "
                    "a transform dropped one without the other"
                )
            first.append(first[-1] + len(truth.labels))
            areas.append(torch.as_tensor(truth.areas, dtype=torch.float64).cpu())
            classes.append(truth.labels)
        joined = torch.cat(areas)
        index = bucket_index(joined.numpy(), buckets)
        labels = torch.cat(classes)
        buckets_of_objects = torch.from_numpy(index).to(labels.device)
        return cls(tuple(first), buckets_of_objects, labels, joined, _box_forms(samples))

    @property
    def images(self) -> int:
        """Images of the batch."""
        return len(self.first) - 1

    def marked(self) -> MarkedObjects:
        """The same objects as provenance knows them."""
        return MarkedObjects(self.buckets.cpu(), self.classes.cpu(), self.boxes)

    def numbers(self, image: int, indices: Tensor) -> Tensor:
        """Numbers in the batch of objects given by their index in one image.

        A detector may go through the batch several times (TridentNet, a branch each): images count
        on, and are the same ones again.
        """
        return indices.long() + self.first[image % self.images]

    def of_image(self, image: int) -> Tensor:
        """Numbers of all objects of one image; images count on as in `numbers`."""
        image %= self.images
        return torch.arange(self.first[image], self.first[image + 1], device=self.buckets.device)

    def labels(self, numbers: Tensor, background: int) -> Tensor:
        """Partition label of each row from the number of its object, `(R,)`."""
        return self._look_up(self.buckets, numbers, background)

    def class_of(self, numbers: Tensor) -> Tensor:
        """Class of each row's object, -1 for background, `(R,)`."""
        return self._look_up(self.classes, numbers, BACKGROUND)

    def _look_up(self, table: Tensor, numbers: Tensor, default: int) -> Tensor:
        looked_up = torch.full_like(numbers, default)
        has_object = numbers >= 0
        looked_up[has_object] = table.to(numbers.device)[numbers[has_object]].to(looked_up.dtype)
        return looked_up

    def count(self, buckets: int) -> list[int]:
        """Number of objects in each bucket."""
        return list(torch.bincount(self.buckets, minlength=buckets).tolist())


def _box_forms(samples: Sequence[Any]) -> Tensor | None:
    """Forms of the annotated boxes, in px and in parts of their images."""
    boxes, frames = [], []
    for sample in samples:
        truth = sample.gt_instances
        corners = getattr(truth.bboxes, "tensor", truth.bboxes) if "bboxes" in truth else None
        shape = getattr(sample, "img_shape", None)
        if not isinstance(corners, Tensor) or corners.shape[1:] != (4,) or shape is None:
            return None
        boxes.append(corners.detach().cpu())
        frames.append(torch.tensor([[shape[1], shape[0]]]).expand(len(corners), 2))
    return box_forms(torch.cat(boxes), torch.cat(frames)) if boxes else None
