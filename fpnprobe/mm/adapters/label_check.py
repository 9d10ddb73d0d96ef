"""Are the row labels right? The targets of every loss call say which object.

Conservation holds for any labeling of the rows, so it cannot tell. The head's own targets can, and
do not come from the adapter: a row of object j must have j's class or box as its target, and a row
without an object must have none.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.provenance import Witness


def class_target(arguments: Mapping[str, Any], rows: int) -> Tensor | None:
    """The class target among a loss call's arguments: whole numbers, one for each row, or None."""
    for value in arguments.values():
        for candidate in value if isinstance(value, (tuple, list)) else (value,):
            if (
                isinstance(candidate, Tensor)
                and candidate.shape == (rows,)
                and not candidate.is_floating_point()
            ):
                return candidate
    return None


def check_classes(
    name: str, target: Tensor, expected: Tensor, *, classes: int, masks: bool = False
) -> None:
    """Compare class targets with the classes of the objects that rows were labeled with.

    Args:
        name: Name of the loss module, for the message.
        target: Class target of each row, `(R,)`; `classes` and more mean background.
        expected: Class of the row's object, -1 for background, `(R,)`.
        classes: Number of classes of the head; 1 means that it does not tell classes apart.
        masks: Whether a class-agnostic mask head may target class 0 throughout.

    Raises:
        FpnProbeError: If one row disagrees.
    """
    if masks and not bool(target.any()):
        return
    has_object = expected >= 0
    object_classes = torch.where(
        has_object, torch.zeros_like(expected) if classes == 1 else expected, -1
    )
    target_classes = torch.where((target >= 0) & (target < classes), target, -1)
    wrong = object_classes != target_classes
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise FpnProbeError(
            f"{name}: {int(wrong.sum())} of {len(target)} rows have a class target that is not "
            f"their object's (row {row}: target {int(target[row])}, object's class "
            f"{int(expected[row])}); this head orders its rows in another way than its adapter "
            "expects: write one with fpnprobe.mm.adapters.register_head"
        )


def check_tables(
    witness: Witness,
    name: str,
    arguments: Mapping[str, Any],
    row_objects: Tensor,
    *,
    classes: int,
) -> None:
    """Hold boxes and one-hot, soft or quality targets of a call against the rows' objects.

    Args:
        witness: Knows the boxes and classes of the objects, and counts what was compared.
        name: Name of the loss module, for the message.
        arguments: The call's arguments, the prediction first.
        row_objects: Number of each row's object, -1 for background, `(R,)`.
        classes: Number of classes of the head.

    Raises:
        FpnProbeError: Naming the loss and a row that disagrees.
    """
    prediction = next(iter(arguments.values()))
    witness.width = classes
    for value in list(arguments.values())[1:]:
        if not isinstance(value, Tensor) or value.dim() != 2 or len(value) != len(prediction):
            continue
        objects = row_objects.to(value.device)
        if witness.check_boxes(name, value, objects):
            return
        if classes > 1 and value.shape[1] == classes:
            witness.check_table(name, value, objects)
            return
