"""The task of training one cell: its settings, data, device and folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpnprobe.config.cell_config import CellConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The task of training one cell: its settings, data, device and folder.

    Attributes:
        config: the settings of the cell.
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
