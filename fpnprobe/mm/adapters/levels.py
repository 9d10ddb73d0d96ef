"""Finds the pyramid level that a row's loss came from."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fpnprobe.mm.adapters.module_paths import auxiliary_stage


class Levels:
    """Numbers of the maps that the heads see, and of the map that each RoI was pooled from."""

    def __init__(self) -> None:
        self.maps: tuple[int, ...] = ()
        self._rois: dict[int | None, list[Tensor]] = {}

    def number(self, path: str, index: int) -> int:
        """Level of the `index`-th map of the head at `path`; -1 where it is not known."""
        stage = auxiliary_stage(path)
        if stage is not None:
            return stage
        return self.maps[index] if index < len(self.maps) else -1

    def saw_rois(self, path: str, extractor: Any, features: Sequence[Tensor], rois: Tensor) -> None:
        """A RoI extractor pooled boxes; remember from where."""
        count = len(features)
        with torch.no_grad():
            index = (
                extractor.map_roi_levels(rois, count)
                if count > 1
                else torch.zeros(len(rois), dtype=torch.long, device=rois.device)
            )
            table = torch.tensor([self.number(path, i) for i in range(count)], device=rois.device)
            self._rois.setdefault(auxiliary_stage(path), []).append(table[index.long()])

    def of_rois(self, path: str, rows: int) -> Tensor | None:
        """Levels of the rows of a RoI head: those of the last pooling of so many boxes."""
        stage = auxiliary_stage(path)
        for recorded in reversed(self._rois.get(stage, [])):
            if len(recorded) == rows:
                return recorded
        return None if stage is None else torch.full((rows,), stage)
