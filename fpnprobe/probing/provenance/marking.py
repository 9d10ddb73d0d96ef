"""Annotated objects of one iteration, followed from their annotations into the loss."""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.provenance.functions import LossFunctions
from fpnprobe.probing.provenance.labeling import add_cuts
from fpnprobe.probing.provenance.marks import is_lost, is_object
from fpnprobe.probing.provenance.mode import Provenance
from fpnprobe.probing.provenance.objects import MarkedObjects
from fpnprobe.probing.provenance.witness import Witness
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket

Annotations = Tensor | Sequence[Tensor]


class Marking:
    """The annotated objects of a batch while a model computes its loss from them.

    Args:
        boxes: Boxes `(N, 4)` of the batch, or one tensor for each image: the very tensors that
            the model is given, in any form.
        labels: Class labels `(N,)` in the same way.
        areas: Annotation areas in px^2 of the original image, `(N,)`, for each object in order.
        masks: Masks or other annotations `(N, ...)` that the model is given.
        buckets: Scale buckets.

    Raises:
        FpnProbeError: If the counts do not fit.

    A head that takes the nearest box for each of three points:

    >>> boxes, labels = torch.tensor([[2.0, 2.0, 8.0, 8.0]]), torch.tensor([1])
    >>> scores = torch.zeros(3, 2, requires_grad=True) * 1
    >>> with Marking(boxes, labels, areas=[36.0]) as marking:
    ...     inside = (torch.tensor([1.0, 4.0, 9.0]) - boxes[:, 0]).abs() < 3
    ...     target = torch.zeros(3, dtype=torch.long)
    ...     target[inside] = labels.expand(3)[inside]
    ...     loss = torch.nn.functional.cross_entropy(scores, target)
    >>> marking.partition().calls[0].labels.tolist()  # 0 is small, 3 is background
    [0, 0, 3]
    """

    def __init__(
        self,
        boxes: Annotations,
        labels: Annotations,
        *,
        areas: Sequence[float] | Annotations,
        masks: Annotations | None = None,
        buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
    ) -> None:
        self.provenance = Provenance()
        self._buckets = tuple(buckets)
        kinds = {"boxes": _of_images(boxes), "labels": _of_images(labels)}
        if masks is not None:
            kinds["masks"] = _of_images(masks)
        counts = {name: [len(one) for one in given] for name, given in kinds.items()}
        if any(count != counts["labels"] for count in counts.values()):
            raise FpnProbeError(f"objects of each image differ: {counts}")
        classes = [one.detach().reshape(-1) for one in kinds["labels"]]
        known = torch.cat(classes) if classes else torch.zeros(0)
        all_boxes = [one for one in kinds["boxes"] if one.dim() == 2 and one.shape[1] == 4]
        is_whole = len(known) > 0 and sum(map(len, all_boxes)) == len(known)
        self.objects = MarkedObjects.of(
            _flat(areas), known, buckets, boxes=torch.cat(all_boxes) if is_whole else None
        )
        self.provenance.memory.classes = self.objects.classes
        if len(self.objects.buckets) != len(known):
            raise FpnProbeError(
                f"{len(self.objects.buckets)} areas for {len(known)} objects: expected one each"
            )
        for given in kinds.values():
            first = 0
            for one in given:
                numbers = torch.arange(first, first + len(one), device=one.device)
                self.provenance.mark(one, numbers.reshape(-1, *[1] * (one.dim() - 1)))
                first += len(one)
        self.witness = Witness(self.objects)
        self._undo = ExitStack()

    def mark_rows(self, target: Tensor, numbers: Tensor) -> None:
        """Say whose the rows of a target are, where it was not made by torch operators.

        Args:
            target: A target `(R, ...)` or `(B, R, ...)`, before it is given to its loss.
            numbers: Number of each row's object, counted through the batch, -1 for background.
        """
        trailing = [1] * (target.dim() - numbers.dim())
        self.provenance.mark(target, numbers.reshape(*numbers.shape, *trailing))

    def __enter__(self) -> "Marking":
        self._undo.enter_context(self.provenance)
        self._undo.enter_context(LossFunctions(self.provenance, self.witness))
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def partition(self) -> LossPartition:
        """The loss as labeled rows.

        Raises:
            FpnProbeError: If there are objects and no row of the loss is one's.
        """
        whole = LossPartition(self._buckets)
        add_cuts(whole, self.provenance, self.objects)
        whole.objects = self.objects.count(len(self._buckets))
        marks = (found.cut.marks for found in self.provenance.cuts)
        has_rows = any(bool((is_object(one) | is_lost(one)).any()) for one in marks)
        if len(self.objects.buckets) and not has_rows:
            raise FpnProbeError(
                f"no row of the loss meets one of the {len(self.objects.buckets)} marked objects: "
                "mark the very tensors that the model is given, or, where it makes its targets "
                "through Python lists or numpy, call probe.mark_rows(target, numbers) there"
            )
        return whole


def _of_images(given: Annotations) -> list[Tensor]:
    return [given] if isinstance(given, Tensor) else list(given)


def _flat(areas: Sequence[float] | Annotations) -> Tensor:
    if isinstance(areas, Tensor):
        return areas.reshape(-1)
    if any(isinstance(one, Tensor) for one in areas):
        return torch.cat([torch.as_tensor(one).reshape(-1) for one in areas])
    return torch.tensor(list(areas), dtype=torch.float64)
