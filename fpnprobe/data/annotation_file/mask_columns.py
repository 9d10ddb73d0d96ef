"""Masks of an annotation file while they are read: checked before any C routine sees them."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fpnprobe.data.annotation_file.masks import NONE, POLYGONS, RUNS, Ints, Masks
from fpnprobe.data.annotation_file.run_lengths import check_runs, decode_runs, encode_runs

_LONGEST = 2**23  # px of an outline: pycocotools takes some 120 bytes for each of them


_FEWEST = 6  # coordinates of an outline: three points; mmdet and Detectron2 leave out shorter ones


@dataclass(slots=True)
class MaskColumns:
    """Collects masks one by one, and says what is wrong with them in the end.

    Attributes:
        short: Objects with an outline of fewer than three points, which is left out.
    """

    short: list[int] = field(default_factory=list)
    wrong: list[tuple[int, str]] = field(default_factory=list)
    _kind: bytearray = field(default_factory=bytearray)
    _polygon_starts: array = field(default_factory=lambda: array("q", [0]))  # type: ignore[type-arg]
    _corners: array = field(default_factory=lambda: array("q", [0]))  # type: ignore[type-arg]
    _coordinates: array = field(default_factory=lambda: array("d"))  # type: ignore[type-arg]
    _counts: bytearray = field(default_factory=bytearray)
    _counted: array = field(default_factory=lambda: array("q", [0]))  # type: ignore[type-arg]
    _sizes: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, mask: Any) -> None:
        """Take the `segmentation` of the next object: polygons, run lengths, or nothing."""
        kind = NONE
        try:
            if type(mask) is list:
                kind = self._add_polygons(mask)
            elif isinstance(mask, Mapping):
                kind = self._add_runs(mask)
            elif mask is not None:
                raise ValueError(f"it is {mask!r:.40}")
        except (ValueError, TypeError, OverflowError) as error:
            self.wrong.append((len(self._kind), str(error)))
            del self._corners[self._polygon_starts[-1] + 1 :]
            del self._coordinates[self._corners[-1] :]
        self._kind.append(kind)
        self._polygon_starts.append(len(self._corners) - 1)
        self._counted.append(len(self._counts))

    def _add_polygons(self, mask: list[Any]) -> int:
        coordinates, corners = self._coordinates, self._corners
        for polygon in mask:
            if type(polygon) is not list:
                if isinstance(polygon, int | float):
                    raise ValueError(
                        "its polygon is a flat list: expected a list of polygons, [[x, y, ...]]"
                    )
                raise ValueError(f"it holds {polygon!r:.40}, expected polygons [x, y, ...]")
            if len(polygon) < _FEWEST or len(polygon) % 2:
                if not self.short or self.short[-1] != len(self._kind):
                    self.short.append(len(self._kind))
                if not all(type(value) in (int, float) for value in polygon):
                    raise ValueError("a polygon holds something that is no number")
                continue
            try:
                coordinates.extend(polygon)
            except TypeError:
                raise ValueError("a polygon holds something that is no number") from None
            except OverflowError:
                raise ValueError("a polygon holds a number that is too large") from None
            corners.append(len(coordinates))
        return POLYGONS if len(corners) - 1 > self._polygon_starts[-1] else NONE

    def _add_runs(self, mask: Mapping[str, Any]) -> int:
        if not mask:
            return NONE
        size, counts = mask.get("size"), mask.get("counts")
        if not (
            isinstance(size, list | tuple)
            and len(size) == 2
            and all(isinstance(side, int) and 0 < side < 2**31 for side in size)
        ):
            raise ValueError(f"its size is {size!r:.40}, expected [height, width]")
        if isinstance(counts, list):
            if not all(type(run) is int and -1 < run < 2**40 for run in counts):
                raise ValueError("its counts are no run lengths: expected whole numbers >= 0")
            runs = np.array(counts, dtype=np.int64)
            check_runs(runs, *size)
            packed = encode_runs(runs)
        elif isinstance(counts, str | bytes):
            packed = counts if isinstance(counts, bytes) else counts.encode("ascii", "replace")
            check_runs(decode_runs(packed), *size)
        else:
            raise ValueError(f"its counts are {counts!r:.40}, expected run lengths")
        self._counts += packed
        self._sizes[len(self._kind)] = (int(size[0]), int(size[1]))
        return RUNS

    def finish(self, sizes: Ints) -> Masks:
        """All masks; `sizes` (G, 2) are the height and width of their images, 0 where unknown.

        Polygons that leave their image by no more than its own side are cut at its border, as
        boxes are. Whatever else is wrong is in `wrong`.
        """
        for index, size in self._sizes.items():
            if size != tuple(sizes[index].tolist()) and sizes[index].all():
                self.wrong.append(
                    (
                        index,
                        f"its size is {list(size)}, and the image is "
                        f"{sizes[index].tolist()} (height, width)",
                    )
                )
        sizes = sizes.astype(np.int64, copy=True)
        for index, size in self._sizes.items():
            sizes[index] = size
        masks = Masks(
            row=np.arange(len(self._kind)),
            kind=np.frombuffer(bytes(self._kind), dtype=np.uint8),
            parts=np.frombuffer(self._polygon_starts, dtype=np.int64),
            corners=np.frombuffer(self._corners, dtype=np.int64),
            coordinates=np.frombuffer(self._coordinates, dtype=np.float64)
            if self._coordinates
            else np.zeros(0),
            counts=bytes(self._counts),
            counted=np.frombuffer(self._counted, dtype=np.int64),
            sizes=sizes,
        )
        self._check_bounds(masks)
        self._check_lengths(masks)
        self.wrong.sort()
        return masks

    def _check_bounds(self, masks: Masks) -> None:
        """Cut polygons at the border of their image; one that lies far outside is wrong."""
        corners = masks.corners
        if len(corners) == 1:
            return
        owner = np.repeat(np.arange(len(masks)), np.diff(masks.parts))  # of each polygon
        for axis, name in ((1, "x"), (0, "y")):
            values = masks.coordinates[1 - axis :: 2]  # polygons have an even length
            starts = corners[:-1] // 2
            limit = masks.sizes[owner, axis].astype(np.float64)
            low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
            has_size = limit > 0
            # NaN compares as false, so what is right is asked for
            near = (low >= -limit) & (high <= 2 * limit)
            bad = np.flatnonzero(~near & (has_size | ~(np.isfinite(low) & np.isfinite(high))))
            for polygon in bad[np.unique(owner[bad], return_index=True)[1]]:
                value = low[polygon] if not low[polygon] >= -limit[polygon] else high[polygon]
                self.wrong.append(
                    (
                        int(owner[polygon]),
                        f"its outline reaches {name} = {value:.6g}, in an image of "
                        f"{limit[polygon]:g}"
                        " px",
                    )
                )
            for polygon in np.flatnonzero(has_size & near & ((low < 0) | (high > limit))):
                outline = values[starts[polygon] : corners[polygon + 1] // 2]
                np.clip(outline, 0, limit[polygon], out=outline)

    def _check_lengths(self, masks: Masks) -> None:
        """Refuse an outline so long that the C routine that fills it would take gigabytes."""
        corners = masks.corners
        owner = np.repeat(np.arange(len(masks)), np.diff(masks.parts))  # of each polygon
        most = np.diff(corners) // 2 * masks.sizes[owner].max(axis=1, initial=0)
        for polygon in np.flatnonzero(most > _LONGEST):
            points = masks.coordinates[corners[polygon] : corners[polygon + 1]].reshape(-1, 2)
            steps = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1)
            if steps.sum() > _LONGEST:
                problem = f"its outline is {steps.sum():.3g} px long, more than {_LONGEST}"
                self.wrong.append((int(owner[polygon]), problem))
