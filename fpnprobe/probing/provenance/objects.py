"""The annotated objects of a batch, in the order of their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.provenance.box_check import box_forms
from fpnprobe.scales import ScaleBucket, bucket_index


@dataclass(frozen=True, slots=True)
class MarkedObjects:
    """Bucket and class of each object.

    Attributes:
        buckets: Index of each object's bucket, `(N,)`.
        classes: Class of each object as its annotation says it, `(N,)`; empty if it says none.
        boxes: Forms of each object's box that may be targets, `(F, N, 4)`, or None.

    >>> from fpnprobe.scales import COCO_BUCKETS
    >>> objects = MarkedObjects.of([100.0, 1e5], torch.tensor([7, 2]), COCO_BUCKETS)
    >>> objects.labels(torch.tensor([1, -1, 0]), background=3).tolist()
    [2, 3, 0]
    """

    buckets: Tensor
    classes: Tensor
    boxes: Tensor | None = None

    @classmethod
    def of(
        cls,
        areas: Sequence[float] | Tensor,
        classes: Tensor,
        buckets: Sequence[ScaleBucket],
        *,
        boxes: Tensor | None = None,
    ) -> "MarkedObjects":
        """Objects by their annotation areas, in px^2 of the original image.

        Raises:
            FpnProbeError: If areas and classes are not of as many objects.
        """
        sizes = torch.as_tensor(areas, dtype=torch.float64).reshape(-1).cpu()
        if len(classes) and len(classes) != len(sizes):
            raise FpnProbeError(
                f"{len(sizes)} areas for {len(classes)} labels: expected one area for each object"
            )
        index = torch.from_numpy(bucket_index(sizes.numpy(), buckets))
        forms = None if boxes is None else box_forms(boxes.detach().cpu())
        return cls(index, classes.detach().reshape(-1).long().cpu(), forms)

    def labels(self, marks: Tensor, *, background: int) -> Tensor:
        """Partition label of each element from its mark: its object's bucket, or background."""
        table = torch.cat([self.buckets.long(), torch.tensor([background])]).to(marks.device)
        numbers = torch.where(marks >= 0, marks.long(), len(table) - 1)
        return table[numbers]

    def class_of(self, marks: Tensor) -> Tensor:
        """Class of each element's object; -1 where it has none."""
        table = torch.cat([self.classes, torch.tensor([-1])]).to(marks.device)
        return table[torch.where(marks >= 0, marks.long(), len(table) - 1)]

    def count(self, buckets: int) -> list[int]:
        """Number of objects in each bucket."""
        return list(torch.bincount(self.buckets, minlength=buckets).tolist())
