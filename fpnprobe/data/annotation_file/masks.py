"""Masks of objects in a few flat arrays: polygons and run lengths, checked before any C routine.

As Python lists the polygons of COCO's train2017 take 1.5 GB in every process; here they take 300 MB
once, and workers share them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = list[list[float]] | dict[str, Any]

NONE, POLYGONS, RUNS = 0, 1, 2


@dataclass(frozen=True, slots=True, repr=False)
class Masks(Sequence[Mask | None]):
    """The masks of some objects, in their order; `masks[i]` is one in COCO's format, or None.

    Polygons have at least three points each and do not leave their image; run lengths are
    compressed, of their image's size, and add up. `take` shares the arrays.

    Attributes:
        row: Of each object, in the arrays below, `(G,)`.
        kind: `NONE`, `POLYGONS` or `RUNS`, `(R,)`.
        parts: First polygon of each row, or place of its run lengths, `(R + 1,)`.
        corners: First coordinate of each polygon, `(P + 1,)`.
        coordinates: Of x and y in turn, px, float64.
        counts: All compressed run lengths.
        counted: First byte of each row's run lengths in `counts`.
        sizes: Height and width of each row's image, `(R, 2)`.
    """

    row: Ints
    kind: npt.NDArray[np.uint8]
    parts: Ints
    corners: Ints
    coordinates: Floats
    counts: bytes
    counted: Ints
    sizes: Ints

    def __repr__(self) -> str:
        return f"Masks({int(self.present().sum())} of {len(self)} objects)"

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = int(self.row[index])
        if self.kind[row] == RUNS:
            return {"size": self.sizes[row].tolist(), "counts": self.run_lengths(index).decode()}
        return [polygon.tolist() for polygon in self.polygons(index)] or None

    def polygons(self, index: int) -> list[Floats]:
        """Outlines of an object, each x and y in turn; empty where it has none."""
        row = int(self.row[index])
        return [
            self.coordinates[self.corners[polygon] : self.corners[polygon + 1]]
            for polygon in range(int(self.parts[row]), int(self.parts[row + 1]))
        ]

    def run_lengths(self, index: int) -> bytes:
        """Compressed run lengths of an object; empty where it has none."""
        row = int(self.row[index])
        return self.counts[int(self.counted[row]) : int(self.counted[row + 1])]

    def present(self) -> npt.NDArray[np.bool_]:
        """Whether each object has a mask, `(G,)`."""
        kinds: npt.NDArray[np.uint8] = self.kind[self.row]
        return np.asarray(kinds != NONE)

    def take(self, rows: npt.NDArray[Any]) -> "Masks":
        """The masks of some objects; the arrays are shared."""
        return replace(self, row=self.row[rows])
