"""The feature maps of a detector on one image, stored small enough to keep with every run."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, bucket_index
from fpnprobe.store import atomic

Floats = npt.NDArray[np.float64]
_PREFIX, _COMPACT = "map_", "compact_"

GROUPS = 4
"""Consecutive groups of channels whose compactness is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Channel root-mean-square of every stage and level on one image.

    Attributes:
        image_id: Id in the annotation file.
        maps: `(h, w)` per tap ("C2".., "P2"..), at most 64 cells on a side; in units of the
            features, so maps of one tap can be compared between variants.
        boxes: Objects `(K, 4)`, corners in px of the original image.
        areas: Their annotated areas `(K,)`, px^2.
        labels: Their class indices `(K,)`.
        size: (width, height) of the original image, px.
        image: Thumbnail `(h, w, 3)`, RGB, uint8.
        compactness: Of the channels of a level in groups (`group_compactness`), before they are
            smoothed; empty where it was not stored.
    """

    image_id: int
    maps: Mapping[str, Floats]
    boxes: Floats
    areas: Floats
    labels: npt.NDArray[np.int64]
    size: tuple[int, int]
    image: npt.NDArray[np.uint8]
    compactness: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{tap} {m.shape[0]}x{m.shape[1]}" for tap, m in self.maps.items())
        return f"Features(image {self.image_id}, {len(self.boxes)} objects, {sizes})"

    def _repr_html_(self) -> str:
        return str(self.in_boxes().to_html(index=False, float_format="{:.2f}".format))

    def in_boxes(self, buckets: Sequence[ScaleBucket] = COCO_BUCKETS) -> pd.DataFrame:
        """Measure the share of a map's energy that lies in the boxes of each bucket.

        Returns:
            One row per tap and bucket that has objects: `energy` (share of the squared map inside
            the boxes), `area` (share of the cells inside), `contrast` (energy / area; 1 is what a
            flat map has).
        """
        of = bucket_index(self.areas, buckets)
        rows = []
        for tap, values in self.maps.items():
            squares = np.square(values.astype(np.float64))
            for index in np.unique(of):
                inside = self._mask_boxes(values.shape, self.boxes[of == index])
                energy = float(squares[inside].sum() / max(squares.sum(), 1e-30))
                area = float(inside.mean())
                rows.append((tap, buckets[index].name, energy, area, energy / max(area, 1e-30)))
        return pd.DataFrame(rows, columns=["tap", "bucket", "energy", "area", "contrast"])

    def _mask_boxes(self, shape: tuple[int, ...], boxes: Floats) -> npt.NDArray[np.bool_]:
        """Cells that any of the boxes touches."""
        height, width = shape
        mask = np.zeros((height, width), dtype=bool)
        for box in boxes:
            x0, x1 = box[[0, 2]] / self.size[0] * width
            y0, y1 = box[[1, 3]] / self.size[1] * height
            mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
        return mask

    def write(self, folder: str | Path) -> Path:
        """Write `<folder>/<image_id>.npz` atomically."""
        arrays: dict[str, Any] = {
            "boxes": self.boxes.astype(np.float32),
            "areas": self.areas,
            "labels": self.labels,
            "size": np.array(self.size),
            "image": self.image,
        }
        arrays |= {f"{_COMPACT}{tap}": np.float64(c) for tap, c in self.compactness.items()}
        arrays |= {f"{_PREFIX}{tap}": m.astype(np.float16) for tap, m in self.maps.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        file = Path(folder) / f"{self.image_id}.npz"
        atomic.write_bytes(file, buffer.getvalue())
        return file

    @classmethod
    def read(cls, file: str | Path) -> "Features":
        """Read what `write` has written.

        Raises:
            FpnProbeError: If the file is not such a file.
        """
        path = Path(file)
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                return cls(
                    image_id=int(path.stem),
                    maps={
                        name.removeprefix(_PREFIX): stored[name].astype(np.float64)
                        for name in stored.files
                        if name.startswith(_PREFIX)
                    },
                    boxes=stored["boxes"].astype(np.float64),
                    areas=stored["areas"].astype(np.float64),
                    labels=stored["labels"].astype(np.int64),
                    size=(int(stored["size"][0]), int(stored["size"][1])),
                    image=stored["image"],
                    compactness={
                        name.removeprefix(_COMPACT): float(stored[name])
                        for name in stored.files
                        if name.startswith(_COMPACT)
                    },
                )
        except (OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile) as error:
            raise FpnProbeError(
                f"{path} holds no features ({type(error).__name__}): run the study again"
            ) from None


def stored_images(folder: str | Path) -> tuple[int, ...]:
    """Ids of the images whose features a folder holds, in order."""
    return tuple(sorted(int(p.stem) for p in Path(folder).glob("*.npz") if p.stem.isdecimal()))


def group_compactness(energy: npt.ArrayLike, *, groups: int = GROUPS) -> float:
    """Measure how much more alike two channels of one group are than any two, at most 1.

    Jin et al. (ECCV 2022) expect channel swapping to "make the homogeneous feature maps become
    compact along the channel dimension" (Eq. 12-13), so that a quarter of the channels (Eq. 14)
    can be given to one pyramid level. They give no measure; this is ours. With u_c the spatial
    pattern of channel c, the root of its energy map scaled to unit norm,

        d(c, c')^2 = |u_c - u_c'|^2,    compactness = 1 - D_within / D_all,

    where D_within is the mean of d^2 over the pairs of channels in the same group and D_all over
    all pairs. 1 says that the maps of a group are proportional to each other; 0 is exactly the
    mean over all orders of the channels, so a pyramid whose channels have no groups has 0 in
    expectation; below 0, groups collect what differs. Scaling a channel changes nothing, and
    channels without energy are left out.

    Args:
        energy: Squared activations `(Z, h, w)`, not negative.
        groups: Number of consecutive groups of channels, as equal as possible.

    Returns:
        The compactness; NaN where no two channels differ or no group has two.

    >>> ring, dot = [[1.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]
    >>> group_compactness([ring, ring, dot, dot], groups=2)
    1.0
    >>> round(group_compactness([ring, dot, ring, dot], groups=2), 3)
    -0.5
    """
    values = np.asarray(energy, dtype=np.float64)
    flat = values.reshape(len(values), -1)
    sums = flat.sum(axis=1)
    pattern = np.sqrt(flat / np.where(sums > 0, sums, 1.0)[:, None])
    halves = [
        pattern[of[sums[of] > 0]] for of in np.array_split(np.arange(len(values)), max(1, groups))
    ]
    alike, pairs = np.sum([_sum_cosines(half) for half in halves], axis=0)
    every, count = _sum_cosines(np.concatenate(halves))
    if not pairs or not count - every > 1e-12 * count:
        return float("nan")
    return float(1 - (1 - alike / pairs) / (1 - every / count))


def _sum_cosines(pattern: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Sum of the cosines of all pairs of unit vectors `(n, cells)`, and the number of pairs."""
    count = len(pattern)
    return float((np.square(pattern.sum(axis=0)).sum() - count) / 2), count * (count - 1) / 2
