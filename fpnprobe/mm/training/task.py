"""The task of training one cell: its settings, data, device and folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpnprobe.config.cell_config import CellConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The task of training one cell: its settings, data, device and folder.

    Attributes:
        config: The settings of the cell.
        key: Key of the cell.
        folder: Its folder.
        root: COCO folder.
        annotations: Annotation file to train on.
        classes: Names of the classes.
        iterations: Optimizer steps.
        rate: Learning rate.
        buckets: Scale buckets as (name, low, high) in px^2.
        device: "cpu" or "cuda".
    """

    config: CellConfig
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
        return self.config.seed
