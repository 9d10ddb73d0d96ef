"""Are the marks right? The target of a loss says on its own what its row's object must be.

The sums hold for any labels, so they cannot tell. Targets can: the class target of an object's row
is the object's class, its box target the object's box, and rows without an object all have the same
target, which is no object's.
"""

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.provenance.box_check import compare_boxes
from fpnprobe.probing.provenance.objects import MarkedObjects


@dataclass(slots=True)
class Witness:
    """Compares targets with the objects of their rows, and counts how many rows it compared.

    Attributes:
        objects: Objects of the batch.
        rows: Rows of each loss that have an object.
        witnessed: Those of them whose target was compared with the object.
        width: Number of classes that the head tells apart; None where nobody said. A target that
            may be something else (a bin, a place in a heat map) is then compared only if it is a
            class of the batch in every row, and the object's own in most.
        problems: Where it is a list, what would be raised is told there; of each loss and kind the
            first alone.
    """

    objects: MarkedObjects
    width: int | None = None
    rows: Counter[str] = field(default_factory=Counter)
    witnessed: Counter[str] = field(default_factory=Counter)
    problems: list[str] | None = None
    _problem_kinds: set[tuple[str, str]] = field(default_factory=set)

    def check_classes(self, name: str, target: Tensor, marks: Tensor, *, columns: int) -> None:
        """Compare class numbers `(R,)` with the classes of the rows' objects.

        Args:
            name: Name of the loss, for the message.
            target: The class numbers.
            marks: Objects of the rows.
            columns: Number of scores that each row has.

        Raises:
            FpnProbeError: Naming the loss and a row that disagrees.
        """
        has_object = marks >= 0
        self.rows[name] += int(has_object.sum())
        if len(self.objects.classes) and bool(has_object.any()):
            self._compare(name, target[has_object].long(), marks[has_object], columns)
        shared = torch.isin(target, target[has_object].unique()) & ~has_object & (marks == -1)
        if bool(shared.any()) and bool(has_object.any()):
            self._refuse_without_object(name, target, shared)
        self.check_background(name, target, marks)

    def check_table(self, name: str, target: Tensor, marks: Tensor) -> None:
        """Compare one-hot, soft or quality targets `(R, C)` with the classes of the rows' objects.

        Where rows name no single class (masks, boxes), nothing is compared.

        Raises:
            FpnProbeError: Naming the loss and a row that disagrees.
        """
        has_object = marks >= 0
        self.rows[name] += int(has_object.sum())
        self.check_background(name, target, marks)
        kept = target[has_object]
        classes = self.objects.classes
        if not len(kept) or not len(classes) or int(classes.max()) >= kept.shape[-1] > 0:
            return
        positive = (kept != 0).sum(-1)
        if kept.shape[-1] == 1 or bool((positive > 1).any()) or not bool((positive == 1).any()):
            return
        objects = marks[has_object]
        told = positive == 1
        is_hot = bool(((kept == 0) | (kept == 1)).all())
        if is_hot and set(objects[told].tolist()) == set(objects.tolist()):
            # Of each object some row has its class: a row that has none is not the object's.
            told = torch.ones_like(told)
            kept = torch.cat([kept, (positive == 0).unsqueeze(-1).to(kept)], -1)
        self._compare(name, kept.argmax(-1)[told], objects[told], target.shape[-1])

    def check_boxes(self, name: str, target: Tensor, marks: Tensor) -> bool:
        """Compare target boxes `(R, 4)` with their objects' boxes; tell whether some are boxes.

        Offsets and clipped boxes are nobody's box: such rows are not compared.

        Raises:
            FpnProbeError: Naming the loss and a row whose target is another object's box.
        """
        if self.objects.boxes is None or target.dim() != 2 or target.shape[1] != 4:
            return False
        own, others = compare_boxes(target, marks, self.objects.boxes)
        self.witnessed[name] += int((own | others).sum())
        if bool(others.any()):
            row = int(others.nonzero()[0])
            self._refuse(
                (name, "box"),
                f"{name}: {int(others.sum())} of {int((own | others).sum())} rows have the box of "
                f"another object as their target (row {row}: {target[row].tolist()}): the marks do "
                "not follow this head's targets",
            )
        return bool((own | others).any())

    def check_channels(self, name: str, target: Tensor, marks: Tensor) -> None:
        """Compare the channel of a heat map's marked elements with the classes of their objects.

        Args:
            name: Name of the loss, for the message.
            target: Heat maps `(B, C, H, W)` or rows `(R, C)`, C the number of classes.
            marks: Object of each element.

        Raises:
            FpnProbeError: Naming the loss, if an element is in another class's channel.
        """
        width = self.width or 0
        if width < 2 or target.dim() < 2 or target.shape[1] != width:
            return
        channels = torch.arange(width, device=target.device)
        shape = [1, width, *[1] * (target.dim() - 2)]
        compared = (marks >= 0) & (target > 0)
        wrong = compared & (self.objects.class_of(marks) != channels.reshape(shape))
        self.witnessed[name] += int(compared.sum())
        if bool(wrong.any()):
            self._refuse(
                (name, "channel"),
                f"{name}: {int(wrong.sum())} of {int(compared.sum())} elements are in the channel "
                "of another class than their object's: the marks do not follow this head's targets",
            )

    def check_background(self, name: str, target: Tensor, marks: Tensor) -> None:
        """Rows without an object have one and the same target.

        Raises:
            FpnProbeError: Naming the loss and a row with a target of its own.
        """
        if not len(self.objects.buckets) or not target.numel():
            return
        wide = target.reshape(*marks.shape, -1)  # (rows, what each is compared with)
        plain = (marks == -1) & (wide >= 0).all(-1)
        rows = wide[plain]
        if len(rows) > 1:
            unlike = (rows != rows.mode(0).values).any(-1)
            if bool(unlike.any()):
                where = torch.zeros_like(plain)
                where[plain] = unlike
                self._refuse_without_object(name, target, where)

    def _compare(self, name: str, given: Tensor, marks: Tensor, columns: int) -> None:
        expected = self.objects.class_of(marks)
        wrong = given != expected
        if not self._are_classes(given, marks, wrong, columns):
            return
        self.witnessed[name] += len(given)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            self._refuse(
                (name, "class"),
                f"{name}: {int(wrong.sum())} of {len(given)} rows have a class target that is not "
                f"their object's (row {row} of those with an object: target {int(given[row])}, "
                f"object's class {int(expected[row])}): the marks do not follow this head's "
                "targets",
            )

    def _are_classes(self, given: Tensor, marks: Tensor, wrong: Tensor, columns: int) -> bool:
        """Whether whole-number targets are classes, and not bins or places."""
        if (self.width or 0) > 1 and columns in (self.width, (self.width or 0) + 1):
            return True
        known = self.objects.classes.to(given.device)
        if bool(torch.isin(given, known).all()):
            return 2 * int(wrong.sum()) < len(given)
        # Of each object some row has its class, and all other rows one value that is no class: the
        # background's.
        strange = given[wrong]
        is_one_value = bool((strange == strange[0]).all()) and int(strange[0]) not in known.tolist()
        return is_one_value and set(marks[~wrong].tolist()) == set(marks.tolist())

    def _refuse_without_object(self, name: str, target: Tensor, where: Tensor) -> None:
        row = where.nonzero()[0].tolist() if where.dim() else []
        value = target[tuple(row)].reshape(-1)[:4].tolist()
        self._refuse(
            (name, "no object"),
            f"{name}: {int(where.sum())} rows have a target of their own but no object (row "
            f"{_text(row)}: target {_text(value)}): the target was not made from marked tensors "
            "by torch operators, but through Python numbers, lists or numpy; say whose its rows "
            "are with probe.mark_rows(target, numbers), -1 for background",
        )

    def _refuse(self, kind: tuple[str, str], problem: str) -> None:
        if self.problems is None:
            raise FpnProbeError(problem)
        if kind not in self._problem_kinds:  # the heads of a decoder's layers fail alike
            self._problem_kinds.add(kind)
            self.problems.append(problem)


def _text(values: object) -> str:
    if isinstance(values, list) and len(values) == 1:
        return f"{values[0]:g}"
    return str(values)
