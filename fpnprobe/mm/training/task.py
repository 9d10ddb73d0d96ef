"""What is needed to train a cell."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is needed to train a cell.

    Attributes:
        config: resolved configuration, a study of one variant and one seed.
        key: key of the cell.
        folder: its folder.
        root: COCO folder.
        annotations: annotation file to train on.
        classes: names of the classes.
        iterations: optimizer steps.
        rate: learning rate.
        buckets: scale buckets as (name, low, high) in px^2.
        device: "cpu" or "cuda".
    """

    config: Mapping[str, Any]
    key: str
    folder: Path
    root: str
    annotations: str
    classes: tuple[str, ...]
    iterations: int
    rate: float
    buckets: tuple[Any, ...]
    device: str

    @property
    def seed(self) -> int:
        """Seed of the cell."""
        return int(self.config["seeds"][0])
