"""Object-scale buckets: named half-open ranges of annotation area."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt

from fpnprobe.errors import FpnProbeError

BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class ScaleBucket:
    """A named range of object area, `low <= area < high`, in px^2 of the original image.

    The area is the annotation's own `area` (for COCO the mask area), which is what AP_S, AP_M and
    AP_L mean, and not the area of the box or of the resized box.

    >>> ScaleBucket("small", 0, 32**2)
    ScaleBucket(name='small', low=0, high=1024)
    """

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise FpnProbeError(f"a bucket is named {self.name!r:.60}, expected a text")
        for bound in (self.low, self.high):
            if not isinstance(bound, Real) or isinstance(bound, bool):
                raise FpnProbeError(
                    f"bucket {self.name!r} has the bound {bound!r:.60}, expected a number of px^2"
                )
        if not self.name or self.name in (BACKGROUND, "all"):
            raise FpnProbeError(
                f"bucket name {self.name!r} is reserved or empty: choose another, such as 'tiny'"
            )
        if not 0 <= self.low < self.high:
            raise FpnProbeError(
                f"bucket {self.name!r} has the area range [{self.low}, {self.high}): "
                "expected 0 <= low < high, in px^2"
            )

    def describe_bounds(self) -> str:
        """Its bounds in words.

        >>> [bucket.describe_bounds() for bucket in COCO_BUCKETS]
        ['area under 32^2 px', 'area from 32^2 to 96^2 px', 'area at least 96^2 px']
        """
        low, high = (f"{bound**0.5:g}^2" for bound in (self.low, self.high))
        if self.high == float("inf"):
            return f"area at least {low} px"
        return f"area under {high} px" if self.low == 0 else f"area from {low} to {high} px"


COCO_BUCKETS = (
    ScaleBucket("small", 0, 32**2),
    ScaleBucket("medium", 32**2, 96**2),
    ScaleBucket("large", 96**2, float("inf")),
)


BucketLike = ScaleBucket | tuple[str, float, float | None]  # no upper end: None


def check_buckets(buckets: Sequence[BucketLike]) -> tuple[ScaleBucket, ...]:
    """Return the buckets as a tuple if they tile [0, inf) in order without gap or overlap.

    >>> [bucket.high for bucket in check_buckets([("tiny", 0, 256), ("rest", 256, None)])]
    [256, inf]

    Raises:
        FpnProbeError: If they do not, naming the first border that is wrong.
    """
    checked = tuple(_read_bucket(entry) for entry in buckets)
    edges = [0.0, *(bucket.high for bucket in checked)]
    for bucket, edge in zip(checked, edges, strict=False):
        if bucket.low != edge:
            raise FpnProbeError(
                f"bucket {bucket.name!r} starts at {bucket.low} px^2, expected {edge}: "
                "buckets must tile [0, inf) in order"
            )
    if not checked or edges[-1] != float("inf"):
        raise FpnProbeError(f"the last bucket ends at {edges[-1]} px^2, expected inf")
    if len({bucket.name for bucket in checked}) < len(checked):
        raise FpnProbeError("two buckets have the same name: names must be unique")
    return checked


def bucket_index(
    areas: npt.ArrayLike, buckets: Sequence[ScaleBucket] = COCO_BUCKETS
) -> npt.NDArray[np.int64]:
    """Return the index of the bucket that holds each area.

    >>> bucket_index([0, 1023.9, 1024, 9216]).tolist()
    [0, 0, 1, 2]
    """
    values = np.asarray(areas, dtype=np.float64)
    if not np.isfinite(values).all() or (values < 0).any():
        raise FpnProbeError("an object area is negative or not finite: expected px^2 >= 0")
    return np.searchsorted([bucket.high for bucket in buckets], values, side="right")


def names(buckets: Sequence[ScaleBucket]) -> tuple[str, ...]:
    """List the labels of a partition: the buckets' names, `background` (index `len(buckets)`)."""
    return (*(bucket.name for bucket in buckets), BACKGROUND)


def stored_buckets(stored: object) -> tuple[ScaleBucket, ...]:
    """Buckets that a file or a config names, as `check_buckets` takes them.

    Args:
        stored: A sequence of buckets or triples (None: no upper end); empty or None for COCO's.

    Raises:
        FpnProbeError: If it is anything else, or the buckets do not tile [0, inf).
    """
    if stored is None or stored == () or stored == []:
        return COCO_BUCKETS
    if not isinstance(stored, Sequence) or isinstance(stored, str | bytes):
        raise FpnProbeError(f"buckets are {stored!r:.60}, expected a list of (name, low, high)")
    return check_buckets(stored)


def _read_bucket(entry: object) -> ScaleBucket:
    if isinstance(entry, ScaleBucket):
        return entry
    if not isinstance(entry, Sequence) or isinstance(entry, str | bytes) or len(entry) != 3:
        raise FpnProbeError(f"a bucket is {entry!r:.60}, expected (name, low, high) in px^2")
    name, low, high = entry
    return ScaleBucket(name, low, float("inf") if high is None else high)


def name_metric(metric: str, buckets: Sequence[ScaleBucket]) -> str:
    """Name a metric of one object size with its bounds, unless they are COCO's.

    AP_S, AP_M and AP_L without further word mean COCO's 32 and 96 px; a bound of area a is given as
    sqrt(a) px.

    >>> name_metric("AP_S", COCO_BUCKETS), name_metric("AP", COCO_BUCKETS)
    ('AP_S', 'AP')
    >>> other = stored_buckets([("small", 0, 576), ("medium", 576, 5184), ("large", 5184, None)])
    >>> [name_metric(f"AP_{size}", other) for size in "SML"]
    ['AP_S (<24 px)', 'AP_M (24–72 px)', 'AP_L (≥72 px)']
    """
    if tuple(buckets) == COCO_BUCKETS:
        return metric
    size = metric.partition("_")[2]
    letters = {bucket.name[:1].upper(): bucket for bucket in COCO_BUCKETS}
    bucket_name = letters[size].name if size in letters else size
    bucket = next((entry for entry in buckets if entry.name == bucket_name), None)
    if bucket is None:
        return metric
    low, high = f"{bucket.low**0.5:g}", f"{bucket.high**0.5:g}"
    bounds = f"<{high}" if bucket.low == 0 else f"≥{low}" if high == "inf" else f"{low}–{high}"
    return f"{metric} ({bounds} px)"


def buckets_of_sides(bounds: str) -> tuple[ScaleBucket, ...]:
    """Small, medium, large between two sides in px; other counts are named by their number.

    >>> [(bucket.name, bucket.high) for bucket in buckets_of_sides("32,96")]
    [('small', 1024.0), ('medium', 9216.0), ('large', inf)]
    """
    try:
        sides = [0.0, *(float(side) for side in bounds.split(",")), math.inf]
    except ValueError:
        raise FpnProbeError(f"bounds {bounds!r}: expected sides in px, such as 32,96") from None
    names = ["small", "medium", "large"]
    if len(sides) != 4:
        names = [f"scale{i + 1}" for i in range(len(sides) - 1)]
    pairs = zip(names, sides, sides[1:], strict=False)
    return check_buckets([ScaleBucket(name, a * a, b * b) for name, a, b in pairs])
