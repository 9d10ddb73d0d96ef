"""The rows of the loss calls that a head makes: object, level and number of classes."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(slots=True)
class Rows:
    """Rows of the loss calls that happen now; `objects` is None until the head has told."""

    path: str
    classes: int
    objects: Tensor | None = None
    levels: Tensor | None = None
    later: bool = False
